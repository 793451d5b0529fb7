"""Build binaries once per user: under a lock, into a side folder, renamed when whole.

Two processes that need the same binary at once build it once: the second waits for the first. A build that is
interrupted leaves only a side folder, which the next one clears. Go's own caches stay where the user has them.
"""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from ecoserve_devcluster.binaries import Binary, find
from ecoserve_devcluster.errors import DevclusterError
from ecoserve_devcluster.progress import Report, elapsed_progress
from ecoserve_devcluster.toolchain import find_go

_SHOWN_LINES = 15


def binary(command: str) -> Path:
    """Return the path of the binary that answers to `command`, building it if it is not in the cache.

    Raises `UnknownNameError` for an unknown name and `DevclusterError` if the build fails.
    """
    found = find(command)
    build_missing([found])
    return found.folder / command


def build_missing(binaries: Sequence[Binary]) -> None:
    """Build those of `binaries` that are not in the cache, with one progress display for all.

    Raises `DevclusterError` with the compiler's last lines if a build fails.
    """
    missing = [each for each in binaries if not each.built]
    if not missing:
        return
    with elapsed_progress("looking for Go") as report:
        go = find_go()
        for number, each in enumerate(missing, start=1):
            _build_once(go, each, f"building {each.name} {each.version} ({number} of {len(missing)})", report)


def _build_once(go: Path, binary: Binary, title: str, report: Report) -> None:
    folder = binary.folder
    report(f"{title}: waiting for another process that builds it")
    with FileLock(f"{folder}.lock"):
        if binary.built:
            return
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _run_go(go, binary, partial, title, report)
        for command in binary.commands:
            (partial / command).symlink_to(binary.name)
        partial.rename(folder)


def _run_go(go: Path, binary: Binary, output: Path, title: str, report: Report) -> None:
    report(f"{title}: fetching sources")
    lines: deque[str] = deque(maxlen=_SHOWN_LINES)
    with subprocess.Popen(
        [go, *binary.go_arguments(output)],
        cwd=binary.module_folder if binary.module else output,
        env=_environment(output),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker; PIPE was asked for
        for number, line in enumerate(process.stdout, start=1):
            lines.append(line.rstrip())
            report(f"{title}: packages compiled: {number}")
    if process.returncode:
        raise DevclusterError(
            f"{binary.name} {binary.version} could not be built with {go}; if the lines below name a download, "
            f"check the connection to the Go module proxy (GOPROXY) and run the same command again:\n  "
            + "\n  ".join(lines)
        )


def _environment(output: Path) -> dict[str, str]:
    """Return the build's environment: the user's, minus what would make the result depend on their settings."""
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOBIN": str(output),
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
