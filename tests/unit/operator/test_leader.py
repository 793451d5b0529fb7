"""The Lease of two candidates, in simulated time: the second takes over soon, and never do both write."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve_operator import leader
from ecoserve_operator.fence import Fence, LeaseLostError
from ecoserve_operator.kube import ApiRefusedError, Kind
from ecoserve_operator.leader import Leadership
from ecoserve_operator.settings import Settings

ResultT = TypeVar("ResultT")

SOON_SECONDS = 20.0
Delay = Callable[[], float]


class _Leaps(selectors.DefaultSelector):
    """Waits for nothing: where nothing is to be read, time leaps to when the next timer is due."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0.0)
        self.now += 0.0 if found or timeout is None else timeout
        return found


class _Simulated(asyncio.SelectorEventLoop):
    """An event loop whose seconds take no time."""

    def __init__(self) -> None:
        self._leaps = _Leaps()
        super().__init__(self._leaps)

    def time(self) -> float:
        return self._leaps.now


def simulated(play: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run in simulated time, by which the Lease goes, too."""
    with asyncio.Runner(loop_factory=_Simulated) as runner, pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(monotonic=runner.get_loop().time)
        patch.setattr(leader, "time", clock)
        return runner.run(play())


class _Server:
    """One Lease on an API server that refuses writes of a version that is none any more."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None

    def patch(self, version: str, spec: dict[str, Any]) -> None:
        assert self.lease is not None
        if version != self.lease["metadata"]["resourceVersion"]:
            raise ApiRefusedError(409, "the object has been modified")
        merged = {key: value for key, value in {**self.lease["spec"], **spec}.items() if value is not None}
        self.lease = {"metadata": {"resourceVersion": str(int(version) + 1)}, "spec": merged}


class _Api:
    """The part of KubeApi that a candidate uses; each request and each answer is under way for a while."""

    def __init__(self, server: _Server, under_way: Delay) -> None:
        self.fence = Fence(lambda: asyncio.get_running_loop().time())
        self._server, self._under_way = server, under_way

    async def _asked(self, answer: Callable[[], ResultT]) -> ResultT:
        await asyncio.sleep(self._under_way())
        found = answer()
        await asyncio.sleep(self._under_way())
        return found

    async def get(self, *_: object) -> dict[str, Any] | None:
        return await self._asked(lambda: self._server.lease)

    async def create(self, _: Kind, lease: dict[str, Any]) -> None:
        def created() -> None:
            if self._server.lease is not None:
                raise ApiRefusedError(409, "it is there")
            self._server.lease = {"metadata": {"resourceVersion": "1"}, "spec": lease["spec"]}

        await self._asked(created)

    async def merge(self, _kind: Kind, _name: str, _namespace: str, patch: dict[str, Any]) -> None:
        await self._asked(lambda: self._server.patch(patch["metadata"]["resourceVersion"], patch["spec"]))


def candidate(server: _Server, name: str, under_way: Delay = lambda: 0.0) -> tuple[_Api, Leadership]:
    api = _Api(server, under_way)
    return api, Leadership(api, Settings(), name)  # type: ignore[arg-type]  # a fake of what is used


async def led(one: Leadership) -> asyncio.Task[None]:
    """Have a candidate hold the Lease; its task."""
    task = asyncio.create_task(one.run())
    await one.leading.wait()
    return task


async def ended(*tasks: Awaitable[None]) -> None:
    for task in tasks:
        asyncio.ensure_future(task).cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@given(st.floats(0.0, 60.0), st.floats(0.0, 60.0))
def test_where_a_leader_dies_another_leads_within_twenty_seconds(stands_by: float, dies: float) -> None:
    async def play() -> tuple[float, float]:
        server, now = _Server(), asyncio.get_running_loop().time
        (_, first), (_, second) = candidate(server, "a"), candidate(server, "b")
        leads = await led(first)
        await asyncio.sleep(stands_by)
        standby = asyncio.create_task(second.run())
        await asyncio.sleep(dies)
        await ended(leads)
        died = now()
        await second.leading.wait()
        await ended(standby)
        return died, now()

    died, taken_over = simulated(play)
    assert taken_over - died < SOON_SECONDS


@given(st.floats(0.0, 60.0))
def test_a_leader_that_is_asked_to_end_hands_over_at_the_next_look(ends: float) -> None:
    async def play() -> float:
        server, now = _Server(), asyncio.get_running_loop().time
        (api, first), (_, second) = candidate(server, "a"), candidate(server, "b")
        leads, standby = await led(first), asyncio.create_task(second.run())
        await asyncio.sleep(ends)
        await ended(leads)
        await first.give_up()
        gave_up = now()
        with pytest.raises(LeaseLostError):
            api.fence.seconds_left()
        await second.leading.wait()
        await ended(standby)
        return now() - gave_up

    assert simulated(play) <= Settings().lease_retry_seconds


troubles = st.tuples(
    st.sampled_from("ab"), st.floats(0.0, 60.0), st.floats(1.0, 40.0), st.sampled_from([0.3, 2.0, 4.9, 60.0])
)


@given(st.lists(troubles, max_size=5))
def test_never_do_two_write_however_long_requests_are_under_way(
    troubles: list[tuple[str, float, float, float]],
) -> None:
    """Whose, from when, how long, and what a request takes then. A candidate that lost the Lease begins anew, as its pod does."""

    async def play() -> None:
        server, apis, now = _Server(), dict[str, _Api](), asyncio.get_running_loop().time

        def under_way(name: str) -> float:
            return max(
                (
                    takes
                    for whose, begin, lasts, takes in troubles
                    if whose == name and 0 <= now() - begin < lasts
                ),
                default=0.0,
            )

        async def lives(name: str) -> None:
            while True:
                apis[name], one = candidate(server, name, lambda: under_way(name))
                try:
                    await one.run()
                except LeaseLostError:
                    await asyncio.sleep(1.0)

        tasks = [asyncio.create_task(lives(name)) for name in "ab"]
        for _ in range(240):
            await asyncio.sleep(0.5)
            assert sum(map(_may_write, apis.values())) <= 1
        await ended(*tasks)

    simulated(play)


def _may_write(api: _Api) -> bool:
    try:
        return api.fence.seconds_left() > 0
    except LeaseLostError:
        return False
