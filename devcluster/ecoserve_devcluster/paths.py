"""Where the development cluster keeps things: binaries in the user's cache, running clusters in the user's state.

Both folders can be moved by an environment variable: ``ECOSERVE_CACHE`` (continuous integration keeps it between
runs) and ``ECOSERVE_STATE`` (tests that leave wreckage behind on purpose use one of their own).
"""

import os
import re
from pathlib import Path

from platformdirs import user_cache_path, user_state_path

from ecoserve.errors import InvalidInputError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def cache_folder() -> Path:
    """Return the folder of built binaries, created if missing."""
    base = os.environ.get("ECOSERVE_CACHE")
    return _created((Path(base) if base else user_cache_path("ecoserve")) / "devcluster")


def clusters_folder() -> Path:
    """Return the folder that holds one folder per running cluster; only its user may look inside."""
    base = os.environ.get("ECOSERVE_STATE")
    return _created((Path(base) if base else user_state_path("ecoserve")) / "devcluster")


def cluster_folder(name: str) -> Path:
    """Return the folder of the cluster called `name`, which need not exist.

    Raises `InvalidInputError` if the name could not be a file, host or context name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "cluster name", name, "a name has at most 40 lower-case letters, digits and inner hyphens"
        )
    return clusters_folder() / name


def _created(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()
