"""Planning in a child process with a hard limit: for callers that must answer whatever a solver does.

HiGHS can overrun its own time limit several times over and cannot be interrupted from outside; a process can be
killed. Each call starts a fresh interpreter (spawn), so that nothing of the caller's threads or sockets comes along,
and ends it before it returns. Values go over a pipe, pickled.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from ecoserve.errors import EcoserveError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.design_points import DesignPoints, compare
from ecoserve.planner.instance import PlanningInstance, PlanningResult
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.solver import solve

T = TypeVar("T")

_GRACE_SECONDS = 2.0


class ChildTimeoutError(EcoserveError):
    """Planning took longer than its hard limit and was stopped; what ran before stays in force."""


class ChildFailedError(EcoserveError):
    """The planning process ended without an answer; its error is passed on."""


def solve_in_child(instance: PlanningInstance, hard_limit_seconds: float) -> PlanningResult:
    """Solve an instance in a child; raises ChildTimeoutError or ChildFailedError."""
    return run_in_child(solve, instance, hard_limit_seconds=hard_limit_seconds)


def make_plan_in_child(snapshot: Snapshot, hard_limit_seconds: float, **options: Any) -> Plan:
    """Call `make_plan` in a child; raises ChildTimeoutError or ChildFailedError."""
    return run_in_child(make_plan, snapshot, hard_limit_seconds=hard_limit_seconds, **options)


def compare_in_child(snapshot: Snapshot, hard_limit_seconds: float, **options: Any) -> DesignPoints:
    """Call `compare` in a child; raises ChildTimeoutError or ChildFailedError."""
    return run_in_child(compare, snapshot, hard_limit_seconds=hard_limit_seconds, **options)


def run_in_child(work: Callable[..., T], *args: Any, hard_limit_seconds: float, **options: Any) -> T:
    """Call a picklable function in a child process that is killed when the limit is over."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, work, args, options), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(hard_limit_seconds):
            raise ChildTimeoutError(f"planning was stopped after its limit of {hard_limit_seconds:g} s")
        try:
            succeeded, value = receiver.recv()
        except EOFError:
            process.join(_GRACE_SECONDS)
            raise ChildFailedError(
                f"the planning process ended with exit status {process.exitcode}"
            ) from None
    finally:
        receiver.close()
        _end(process)
    if not succeeded:
        raise ChildFailedError(value)
    answer: T = value
    return answer


def _answer(sender: Connection, work: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> None:
    try:
        answer = (True, work(*args, **options))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        answer = (False, f"{type(error).__name__}: {error}")
    sender.send(answer)
    sender.close()


def _end(process: multiprocessing.process.BaseProcess) -> None:
    process.join(0.1)
    if process.is_alive():
        process.kill()
    process.join(_GRACE_SECONDS)
    if not process.is_alive():
        process.close()
