"""The parent's side of the planner's process: call, wait, and kill what takes too long."""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ecoserve.errors import EcoserveError
from ecoserve_operator.planning.child import HEADER, YIELDS, encode

logger = logging.getLogger(__name__)

CallParams = ParamSpec("CallParams")
ResultT = TypeVar("ResultT")

_MOST_PATIENCE = 8


class PlannerFailedError(EcoserveError):
    """The planner gave no plan: it was too slow, died, or raised."""


class PlannerProcess:
    """One child process, started on first use and again after a failure; one call at a time.

    One that `yields` works for reports and schedules: it leaves the processor to what makes plans and carries them out.
    Where a call took too long, the next of that function may take twice as long, up to eight times: on a processor that
    is shared with many, what is asked for again would else be ended again, for ever.
    """

    def __init__(self, limit_seconds: float, *, yields: bool = False) -> None:
        self._limit_seconds = limit_seconds
        self._options = (YIELDS,) if yields else ()
        self._patience: dict[Callable[..., object], int] = {}
        self._process: Process | None = None
        self._lock = asyncio.Lock()

    async def call(
        self, function: Callable[CallParams, ResultT], *args: CallParams.args, **kwargs: CallParams.kwargs
    ) -> ResultT:
        """Call an importable function in the child; raises PlannerFailedError with one sentence."""
        async with self._lock:
            try:
                process = await self._running()
                limit_seconds = self._limit_seconds * self._patience.get(function, 1)
                async with asyncio.timeout(limit_seconds):
                    succeeded, result = await _exchange(process, (function, args, kwargs))
                self._patience.pop(function, None)
            except TimeoutError:
                self._patience[function] = min(2 * self._patience.get(function, 1), _MOST_PATIENCE)
                await self._kill()
                raise PlannerFailedError(
                    f"the planner took longer than {limit_seconds:g} s and was ended"
                ) from None
            except (EOFError, OSError, asyncio.IncompleteReadError, pickle.UnpicklingError):
                status = await self._kill()
                raise PlannerFailedError(f"the planner's process ended with status {status}") from None
            except asyncio.CancelledError:
                await self._kill()  # its answer would be taken for that of the next call
                raise
        if not succeeded:
            raise PlannerFailedError(f"the planner failed with {result}")
        answer: ResultT = result
        return answer

    async def close(self) -> None:
        """End the child."""
        await self._kill()

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ecoserve_operator.planning.child",
                *self._options,
                stdin=PIPE,
                stdout=PIPE,
                start_new_session=True,  # a ctrl-C is the parent's to handle
            )
        return self._process

    async def _kill(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # Not process.kill(): that polls first, and may take the exit status from asyncio's watcher.
                os.kill(process.pid, signal.SIGKILL)
        return await process.wait()


async def _exchange(process: Process, call: Any) -> Any:
    if process.stdin is None or process.stdout is None:
        raise OSError("the child has no pipes")
    process.stdin.write(encode(call))
    await process.stdin.drain()
    (length,) = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
    return pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - from our own child
