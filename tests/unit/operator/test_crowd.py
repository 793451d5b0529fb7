"""Objects that are listed at the start go on together; Kopf's own part is what they are spared."""

import asyncio
from collections.abc import Iterable

from kopf._cogs.aiokits.aiotoggles import Toggle, ToggleSet

from ecoserve_operator.watch.crowd import Crowd

QUIET_SECONDS = 0.05


async def come(crowd: Crowd, gone: list[int], number: int) -> None:
    await crowd.gathered()
    gone.append(number)


def test_nobody_goes_on_before_the_last_has_come() -> None:
    async def play() -> tuple[list[int], list[int]]:
        crowd, gone = Crowd(QUIET_SECONDS), []
        tasks = [asyncio.create_task(come(crowd, gone, 0))]
        for number in range(1, 5):
            await asyncio.sleep(QUIET_SECONDS / 10)
            tasks.append(asyncio.create_task(come(crowd, gone, number)))
        early = list(gone)
        await asyncio.gather(*tasks)
        return early, gone

    early, gone = asyncio.run(play())
    assert early == []
    assert sorted(gone) == [0, 1, 2, 3, 4]


def test_who_comes_later_is_a_crowd_of_its_own() -> None:
    async def play() -> list[int]:
        crowd, gone = Crowd(QUIET_SECONDS), []
        await come(crowd, gone, 0)
        await asyncio.gather(come(crowd, gone, 1), come(crowd, gone, 2))
        return gone

    first, *others = asyncio.run(play())
    assert first == 0
    assert sorted(others) == [1, 2]


async def asked_while_listed(objects: int, crowd: Crowd | None) -> int:
    """How often tasks ask whether they may go on, in the way that Kopf holds them up: by a toggle of each, and one of their kind."""
    asked = 0

    def none_is_off(toggles: Iterable[bool]) -> bool:
        nonlocal asked
        asked += 1
        return all(toggles)

    indexed = ToggleSet(none_is_off)

    async def worker(toggle: Toggle) -> None:
        if crowd is not None:
            await crowd.gathered()
        await indexed.drop_toggle(toggle)
        await indexed.wait_for(True)

    kind, workers = await indexed.make_toggle(), []
    for _ in range(objects):
        workers.append(asyncio.create_task(worker(await indexed.make_toggle())))
        await asyncio.sleep(0)
    await indexed.drop_toggle(kind)
    await asyncio.gather(*workers)
    return asked


def test_who_has_waited_in_the_crowd_is_hardly_woken_by_others() -> None:
    """Where the first figure falls, Kopf holds its tasks up in another way, and has no need of the crowd any more."""
    assert asyncio.run(asked_while_listed(200, None)) > 200**2 / 4
    assert asyncio.run(asked_while_listed(200, Crowd(QUIET_SECONDS))) < 4 * 200
