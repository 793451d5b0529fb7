"""Planning in a child process with a hard limit: for callers that must answer whatever a solver does.

HiGHS can overrun its own time limit several times over and cannot be interrupted from outside; a process can be
killed. The child is started afresh (spawn), so that nothing of the caller's threads or sockets comes along, and
stays for the next call, as starting it costs more than most plans. One that overruns is killed; the next call
starts another. It ends when its owner does: the pipe between them breaks. Values are pickled.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
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
    """The planning process ended without an answer, or its work raised; the error is passed on."""


class PlanningProcess:
    """A child that plans, one call at a time; safe to call from several threads. Use as a context manager."""

    def __init__(self) -> None:
        self._one_call = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> "PlanningProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def make_plan(self, snapshot: Snapshot, hard_limit_seconds: float, **options: Any) -> Plan:
        """Call `make_plan` in the child; raises ChildTimeoutError or ChildFailedError."""
        return self.call(make_plan, snapshot, hard_limit_seconds=hard_limit_seconds, **options)

    def compare(self, snapshot: Snapshot, hard_limit_seconds: float, **options: Any) -> DesignPoints:
        """Call `compare` in the child; raises ChildTimeoutError or ChildFailedError."""
        return self.call(compare, snapshot, hard_limit_seconds=hard_limit_seconds, **options)

    def call(self, work: Callable[..., T], *args: Any, hard_limit_seconds: float, **options: Any) -> T:
        """Call any picklable function in the child; it is killed when the limit is over."""
        with self._one_call:
            pipe = self._started()
            try:
                pipe.send((work, args, options))
                if not pipe.poll(hard_limit_seconds):
                    raise ChildTimeoutError(
                        f"planning was stopped after its limit of {hard_limit_seconds:g} s"
                    )
                succeeded, value = pipe.recv()
            except (EOFError, OSError):
                self._stop()
                raise ChildFailedError("the planning process ended without an answer") from None
            except BaseException:
                self._stop()
                raise
        if not succeeded:
            raise ChildFailedError(value)
        answer: T = value
        return answer

    def start(self) -> None:
        """Start the child ahead of the first call."""
        with self._one_call:
            self._started()

    def close(self) -> None:
        """End the child."""
        with self._one_call:
            self._stop()

    def _started(self) -> Connection:
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self._stop()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True, name="ecoserve-planner")
        self._process.start()
        theirs.close()
        return self._pipe

    def _stop(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join(_GRACE_SECONDS)
            if not self._process.is_alive():
                self._process.close()
        self._pipe = self._process = None


def solve_in_child(instance: PlanningInstance, hard_limit_seconds: float) -> PlanningResult:
    """Solve one instance in a child of its own; raises ChildTimeoutError or ChildFailedError."""
    with PlanningProcess() as process:
        return process.call(solve, instance, hard_limit_seconds=hard_limit_seconds)


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the owner's to handle
    while True:
        try:
            work, args, options = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, work(*args, **options))
        except Exception as error:  # noqa: BLE001 - whatever it is, the owner must hear of it
            answer = (False, f"{type(error).__name__}: {error}")
        pipe.send(answer)
