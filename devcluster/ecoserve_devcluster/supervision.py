"""The owner's side of the supervisor: start it, ask it for programs, let go of it or end it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecoserve_devcluster import supervisor
from ecoserve_devcluster.errors import DevclusterError


class Supervision:
    """A supervisor process and the pipe that ties it, and all it runs, to this process.

    Requests are answered one at a time; threads may share one object.
    """

    def __init__(self, log: Path, removed_at_end: Path | None = None) -> None:
        """Start a supervisor that writes its own troubles to `log` and last removes the folder `removed_at_end`."""
        self._lock = threading.Lock()
        folders = [str(removed_at_end)] if removed_at_end else []
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, *folders],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd="/",
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    def start(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path, grace_seconds: float
    ) -> int:
        """Start a program whose output is appended to `log`; return its process id.

        At the end it gets SIGTERM and `grace_seconds` to go, or SIGKILL at once where those are 0.
        `environment` is added to this process's own.
        """
        answer = self._ask(
            do="start",
            name=name,
            argv=[str(argument) for argument in argv],
            environment={**os.environ, **environment},
            log=str(log),
            grace_seconds=grace_seconds,
        )
        return int(answer["pid"])

    def stop(self, name: str, grace_seconds: float) -> None:
        """End a program; nothing happens if it does not run."""
        self._ask(do="stop", name=name, grace_seconds=grace_seconds)

    def detach(self) -> None:
        """Let the supervisor and its programs outlive this process."""
        self._ask(do="detach")
        self._close_pipes()
        self._process.returncode = 0  # it is nobody's child to wait for any more

    def close(self) -> None:
        """End everything and wait until it has ended."""
        self._close_pipes()
        self._process.wait()

    def _ask(self, **request: Any) -> dict[str, Any]:
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in  # noqa: S101 - for the type checker; PIPE was asked for
        assert pipe_out  # noqa: S101 - the same
        with self._lock:
            try:
                pipe_in.write(json.dumps(request).encode() + b"\n")
                pipe_in.flush()
                line = pipe_out.readline()
            except (BrokenPipeError, ValueError) as error:
                raise DevclusterError("the cluster's supervisor is gone, and the cluster with it") from error
        if not line:
            raise DevclusterError("the cluster's supervisor is gone, and the cluster with it")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DevclusterError(
                f"{request.get('name', request['do'])} could not be started: {answer['error']}"
            )
        return answer

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what a dead supervisor was still to read
                    pipe.close()
