"""What the workers of one run (pytest-xdist) tell each other: that each has begun and ended, in a folder of theirs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def workers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run that all its workers see."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "workers"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _told(workers_folder: Path, worker_id: str) -> Iterator[None]:
    """First of the session's fixtures to be made, and so the last to end."""
    (workers_folder / f"{worker_id}.begun").touch()
    yield
    (workers_folder / f"{worker_id}.ended").touch()
