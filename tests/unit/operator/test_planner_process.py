"""The planner's process: it answers, is ended when it takes too long, and ends when nobody asks it any more."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ecoserve_operator.planning.child import encode
from ecoserve_operator.planning.process import PlannerFailedError, PlannerProcess

AUTOGROUP = Path("/proc/self/autogroup")
GROUPED = AUTOGROUP.exists() and bool(AUTOGROUP.read_text())


def _played(*calls: Any, limit_seconds: float = 20.0) -> list[Any]:
    async def play() -> list[Any]:
        process = PlannerProcess(limit_seconds)
        results: list[Any] = []
        try:
            for function, *arguments in calls:
                try:
                    results.append(await process.call(function, *arguments))
                except PlannerFailedError as error:
                    results.append(str(error))
        finally:
            await process.close()
        return results

    return asyncio.run(play())


def test_a_call_is_answered_from_another_process() -> None:
    (pid,) = _played((os.getpid,))
    assert pid != os.getpid()


def test_a_slow_planner_is_ended_and_the_next_call_gets_a_fresh_one() -> None:
    slow, total = _played((time.sleep, 60), (sum, [1, 2]), limit_seconds=2.0)
    assert "longer than 2 s" in slow
    assert total == 3


def test_what_took_too_long_may_take_twice_as_long_the_next_time() -> None:
    """Whatever else was quick meanwhile: what it takes to ask again is."""
    ended, total, done = _played((time.sleep, 2), (sum, [1, 2]), (time.sleep, 2), limit_seconds=2.0)
    assert "longer than 2 s" in ended
    assert (total, done) == (3, None)


def test_a_planner_that_dies_is_told_and_replaced() -> None:
    died, total = _played((os._exit, 7), (sum, [1, 2]))
    assert "ended with status 7" in died
    assert total == 3


def test_an_exception_in_the_planner_is_told_in_one_sentence() -> None:
    failed, total = _played((int, "x"), (sum, [1, 2]))
    assert failed.startswith("the planner failed with ValueError")
    assert total == 3


@pytest.mark.parametrize("printed", ["noise on stdout"])
def test_what_a_solver_prints_does_not_disturb_the_answers(printed: str) -> None:
    written, total = _played((os.write, 1, printed.encode()), (sum, [1, 2]))
    assert (written, total) == (len(printed), 3)


def test_what_nobody_waits_for_leaves_the_processor_to_plans() -> None:
    async def niceness(process: PlannerProcess) -> int:
        try:
            return await process.call(os.nice, 0)
        finally:
            await process.close()

    plans, reports = (asyncio.run(niceness(PlannerProcess(60.0, yields=yields))) for yields in (False, True))
    assert reports == min(19, plans + 10)


@pytest.mark.skipif(not GROUPED, reason="this kernel does not share processors out by sessions")
def test_what_nobody_waits_for_yields_to_other_sessions_too() -> None:
    """Its session is its own, and niceness counts within a session only."""

    async def group(process: PlannerProcess) -> str:
        try:
            return await process.call(Path.read_text, AUTOGROUP)
        finally:
            await process.close()

    plans, reports = (asyncio.run(group(PlannerProcess(60.0, yields=yields))) for yields in (False, True))
    assert plans.endswith("nice 0\n")
    assert reports.endswith("nice 10\n")


def _orphaned(sent: bytes) -> tuple[int, str]:
    """What becomes of a planner whose operator is killed once it has sent so much: its exit status, and what it says."""
    command = [sys.executable, "-m", "ecoserve_operator.planning.child"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stdin.write(sent)
        child.stdin.close()
        said = child.stderr.read().decode()
        return child.wait(60), said


@pytest.mark.parametrize("answer_bytes", [1, 1_000_000])
def test_a_planner_whose_operator_is_killed_ends_with_one_line(answer_bytes: int) -> None:
    status, said = _orphaned(encode((bytes, (answer_bytes,), {})))
    assert (status, said) == (0, "the planner's process ends: the operator that asked it is gone\n")


@pytest.mark.parametrize("sent", [3, 8, 20])
def test_a_planner_whose_operator_is_killed_in_the_middle_of_a_call_ends(sent: int) -> None:
    assert _orphaned(encode((sum, ([1, 2],), {}))[:sent]) == (0, "")
