"""The process that owns a cluster's components; run as a script, standard library only, so that it stays small.

It starts and stops programs on request (one JSON object per line on stdin, one answer per line on stdout) and ends
all of them when its owner goes: the kernel closes the owner's end of stdin however the owner ended, ctrl-C and
SIGKILL included. It sits in a session of its own, so a ctrl-C in the owner's terminal reaches only the owner, who
then closes in order. Two safety nets: on Linux each component asks the kernel to be killed should the supervisor
itself be killed; elsewhere the next `up` or `down` ends what the cluster's state file still names. After a `detach`
request the owner may go; SIGTERM ends everything then.

Requests: ``{"do": "start", "name", "argv", "environment", "log", "grace_seconds"}`` answers ``{"pid"}``,
``{"do": "stop", "name", "grace_seconds"}`` and ``{"do": "detach"}`` answer ``{}``; a failure answers ``{"error"}``.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any

_CHECK_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


class _Supervisor:
    """The programs that run, in the order in which they were started.

    One that ended by itself is not waited for until it is stopped: its process id, which is also the id of its group,
    can't become a stranger's meanwhile.
    """

    def __init__(self) -> None:
        self.owner: int | None = os.getppid()
        self.running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request asks."""
        match request["do"]:
            case "start":
                return {"pid": self.start(request)}
            case "stop":
                self.stop([request["name"]], request["grace_seconds"])
            case "detach":
                self.owner = None
        return {}

    def start(self, request: dict[str, Any]) -> int:
        with open(request["log"], "ab") as log:
            process = subprocess.Popen(
                request["argv"],
                env=request["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its children share its fate: the whole group is signalled
                preexec_fn=_die_with_parent(),
            )
        self.running[request["name"]] = (process, request["grace_seconds"])
        return process.pid

    def stop(self, names: list[str], grace_seconds: float | None = None) -> None:
        """Ask the named programs to end, wait as long as each may take, then kill what is left."""
        ending = [self.running.pop(name) for name in names if name in self.running]
        deadlines = []
        for process, own_grace in ending:
            grace = own_grace if grace_seconds is None else grace_seconds
            _signal_group(process, signal.SIGTERM if grace > 0 else signal.SIGKILL)
            deadlines.append(time.monotonic() + grace)
        for (process, _), deadline in zip(ending, deadlines, strict=True):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def serve(self, requests: IO[bytes], woken: int) -> None:
        """Answer requests until the owner is gone or a signal asks to end."""
        sources: list[Any] = [requests, woken]
        while self.owner is None or os.getppid() == self.owner:
            ready, _, _ = select.select(sources, [], [], _CHECK_SECONDS)
            if woken in ready and signal.SIGTERM in os.read(woken, 64):
                return
            if requests in ready:
                line = requests.readline()
                if line:
                    _reply(self.answer, line)
                elif self.owner is None:
                    sources.remove(requests)
                else:
                    return


def _reply(answer: Callable[[dict[str, Any]], dict[str, Any]], line: bytes) -> None:
    try:
        text = answer(json.loads(line))
    except (OSError, KeyError, ValueError) as error:
        text = {"error": f"{type(error).__name__}: {error}"}
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(text), flush=True)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of zombies
        os.killpg(process.pid, number)


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    supervisor = os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it went between fork and prctl
            os._exit(1)

    return ask_kernel


def main() -> None:
    """Serve the owner; then end every program and remove the folder given as argument, if one is."""
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)  # the wake-up pipe tells
    supervisor = _Supervisor()
    try:
        # Unbuffered: select() sees what is in the pipe, not what a buffer has already taken from it.
        with os.fdopen(0, "rb", buffering=0) as requests:
            supervisor.serve(requests, woken)
    finally:
        supervisor.stop(list(reversed(supervisor.running)))
        if len(sys.argv) > 1:
            shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
