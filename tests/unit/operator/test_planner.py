"""Decisions over time: what makes one new, and whose reasons and instances come later."""

import asyncio
import json
import lzma
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ecoserve_operator.planning.calls import new_capacities, plan_snapshot
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.planner import Decision, Planner
from ecoserve_operator.planning.process import PlannerFailedError, PlannerProcess
from ecoserve_operator.planning.snapshot import View
from ecoserve_operator.settings import Settings
from unit.operator.asked import snapshot

HOUR = timedelta(hours=1)


def test_a_decision_is_a_new_one_until_a_pass_over_it_has_ended_well() -> None:
    """A pass that the API server interrupts is made again; what it was to tell and to ask for must not be lost."""

    async def run() -> list[bool]:
        planner, view, new = a_planner(), View(snapshot=snapshot(), refused={}), []
        for carried_out in (False, True, False):
            new.append((await planner.decide(view, {}))[1])
            if carried_out:
                planner.note_carried_out()
        await planner.close()
        return new

    assert asyncio.run(run()) == [True, True, False]


def a_planner(done: Callable[[], None] = lambda: None) -> Planner:
    return Planner(Settings(), Capacities(), done)


@pytest.mark.parametrize("dies", [False, True])
def test_a_decision_gets_its_reasons_once_and_goes_without_where_its_process_has_died(*, dies: bool) -> None:
    async def run() -> tuple[Decision, Decision]:
        done = asyncio.Event()
        planner, view = a_planner(done.set), View(snapshot=snapshot(), refused={})
        decided, _ = await planner.decide(view, {})
        if dies:
            await planner.close()
        follows = asyncio.create_task(planner.run())
        planner.follow_up()
        await done.wait()
        follows.cancel()
        again, _ = await planner.decide(view, {})
        await planner.close()
        return decided, again

    decided, again = asyncio.run(run())
    (before,), (after,) = (each.choices["n/chat"].placements for each in (decided, again))
    assert (decided.explained, again.explained, before.reason) == (False, True, "")
    assert bool(after.reason) is not dies
    assert replace(after, reason="") == before


def test_reasons_that_take_long_hold_up_nothing_and_are_those_of_the_last_decision() -> None:
    """The instances, too: whatever a process was asked before it was asked anew belongs to nobody."""

    async def run() -> tuple[bool, Decision, str]:
        done = asyncio.Event()
        planner, view = a_planner(done.set), View(snapshot=snapshot(), refused={})
        first, _ = await planner.decide(view, {})
        follows = asyncio.create_task(planner.run())
        planner.follow_up()
        await asyncio.sleep(0)  # it is being asked for reasons
        meanwhile, _ = await planner.decide(view, {})
        at_once = meanwhile is first
        dirtier = View(snapshot=replace(snapshot(west=5.0), taken_at=snapshot().taken_at + HOUR), refused={})
        await planner.decide(dirtier, {})
        done.clear()
        planner.follow_up()
        while planner.exported is None:
            await done.wait()
            done.clear()
        exported = json.loads(lzma.decompress(planner.exported.files["carbon.json.xz"]))
        last, _ = await planner.decide(dirtier, {})
        follows.cancel()
        await planner.close()
        return at_once, last, exported["metadata"]["name"]

    at_once, last, exported = asyncio.run(run())
    assert at_once
    assert last.explained
    assert all(item.reason for choice in last.choices.values() for item in choice.placements)
    assert f"{last.snapshot.taken_at:%Y%m%dT%H%M%SZ}" in exported


class _HeldUp:
    """A planner's process: what it answered is held up once for `between`, and then it dies."""

    def __init__(self, process: PlannerProcess, between: Callable[[], Awaitable[None]]) -> None:
        self._process, self._between = process, between
        self._held_up = False

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._held_up and function is new_capacities:
            raise PlannerFailedError("it died")
        answer = await self._process.call(function, *arguments)
        if function is plan_snapshot:
            self._held_up = True
            await self._between()
        return answer


def test_reasons_of_a_plan_that_was_not_decided_on_are_nobodys() -> None:
    """They were asked for the plan before, and come when the process has made the next one, which is lost then."""

    async def run() -> tuple[Decision, Decision]:
        done = asyncio.Event()
        planner = a_planner(done.set)
        first, _ = await planner.decide(View(snapshot=snapshot(), refused={}), {})

        async def reasons() -> None:
            planner.follow_up()
            await done.wait()

        process = planner._process
        planner._process = _HeldUp(process, reasons)  # type: ignore[assignment]  # a stand-in of what is used
        follows = asyncio.create_task(planner.run())
        later = replace(snapshot(west=5.0), taken_at=snapshot().taken_at + HOUR)
        second, _ = await planner.decide(View(snapshot=later, refused={}), {})
        follows.cancel()
        await process.close()
        return first, second

    first, second = asyncio.run(run())
    assert second.failure == "it died"
    assert second.plan == first.plan, "not the one that was lost"


def test_instances_that_were_not_written_yet_never_pass_for_those_of_the_next_decision() -> None:
    async def run() -> bool:
        done = asyncio.Event()
        planner = a_planner(done.set)
        await planner.decide(View(snapshot=snapshot(), refused={}), {})
        follows = asyncio.create_task(planner.run())
        planner.follow_up()
        while planner.exported is None:
            await done.wait()
            done.clear()
        later = replace(snapshot(west=5.0), taken_at=snapshot().taken_at + HOUR)
        await planner.decide(View(snapshot=later, refused={}), {})
        follows.cancel()
        await planner.close()
        return planner.exported is None

    assert asyncio.run(run())
