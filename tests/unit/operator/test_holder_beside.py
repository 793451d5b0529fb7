"""Held work beside other work: what fails for one keeps no other waiting, and many leave the operator its time."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ecoserve.api.labels import DEADLINE
from ecoserve_operator.clock import SystemClock
from ecoserve_operator.holding.holder import Holder
from ecoserve_operator.kube import ApiRefusedError, ApiUnreachableError, Kind
from ecoserve_operator.watch.world import Nudges
from unit.operator.held import (
    ZONE,
    CpuWorld,
    HeldApi,
    at_once,
    no_grids,
)


class _Refusing(HeldApi):
    """With a second Job, the first in the list, of which somebody's admission policy refuses every change."""

    async def list(self, kind: Kind, selector: str) -> list[dict[str, Any]]:
        found = await super().list(kind, selector)
        return [{**job, "metadata": {**job["metadata"], "name": "refused"}} for job in found] + found

    async def merge(self, kind: Kind, name: str, namespace: str, patch: Mapping[str, Any]) -> None:
        if name == "refused":
            raise ApiRefusedError(422, "denied by a policy")
        await super().merge(kind, name, namespace, patch)


def test_work_of_which_a_write_is_refused_keeps_no_other_waiting() -> None:
    api = _Refusing(datetime.now(UTC))
    api.job["metadata"]["annotations"] = {DEADLINE: "soon"}
    assert at_once(api).startswith("starts now: annotation ecoserve.dev/deadline: 'soon' is not accepted")


class _Silent(HeldApi):
    """With a Job in another namespace, between two of which no write is answered: a webhook hangs there."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.asked: list[str] = []

    async def list(self, kind: Kind, selector: str) -> list[dict[str, Any]]:
        names = ("hung/a", "n/b", "hung/c")
        return [
            {**job, "metadata": {**job["metadata"], "namespace": namespace, "name": name}}
            for job in await super().list(kind, selector)
            for namespace, name in (each.split("/") for each in names)
        ]

    async def merge(self, kind: Kind, name: str, namespace: str, patch: Mapping[str, Any]) -> None:
        self.asked.append(f"{namespace}/{name}")
        if namespace == "hung":
            raise ApiUnreachableError("the API server did not answer (TimeoutError)")
        await super().merge(kind, name, namespace, patch)


def test_a_namespace_in_which_no_write_is_answered_keeps_no_other_waiting() -> None:
    api = _Silent(datetime.now(UTC))
    api.job["metadata"]["annotations"] = {DEADLINE: "soon"}
    assert at_once(api).startswith("starts now: annotation ecoserve.dev/deadline: 'soon' is not accepted")
    assert api.asked == ["hung/a", "n/b"], "the other of that namespace waits for the next look"


def test_what_else_the_operator_does_goes_on_between_thousands_of_held_jobs() -> None:
    """Those that nothing is to be written of take time, too: all at once they would take the Lease's."""

    class _Many(HeldApi):
        async def list(self, kind: Kind, selector: str) -> list[dict[str, Any]]:
            return 100 * await super().list(kind, selector)

    async def play() -> int:
        api = _Many(datetime.now(UTC))
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        signals = no_grids(api)
        world = CpuWorld(nudges=Nudges(0.0), zones={("", "west"): ZONE})
        world.synced.set()
        holder = Holder(api, world, signals, SystemClock())  # type: ignore[arg-type]  # a fake of what is used
        beside = asyncio.create_task(others())
        await holder._look()  # what is between two looks is not asked about
        beside.cancel()
        return turns

    assert asyncio.run(play()) >= 100
