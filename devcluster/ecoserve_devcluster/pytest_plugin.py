"""Fixtures that give tests a real cluster; missing binaries are built, never a reason to skip.

Load with `pytest_plugins = ["ecoserve_devcluster.pytest_plugin"]` in the top `conftest.py`.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ecoserve_devcluster.binaries import CONTROL_PLANE, KWOK
from ecoserve_devcluster.build import binary, build_missing
from ecoserve_devcluster.cluster import Cluster, ClusterSettings

SHORT = ClusterSettings(serving_start_seconds=0.5, job_seconds=5.0)


@pytest.fixture(scope="session")
def binaries(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Give the path of a binary by name, built on first use with its progress on the real stderr."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def built(name: str) -> Path:
        with capture.global_and_fixture_disabled():
            return binary(name)

    with capture.global_and_fixture_disabled():
        build_missing([CONTROL_PLANE, KWOK])
    return built


@pytest.fixture(scope="session")
def devcluster(binaries: Callable[[str], Path]) -> Iterator[Cluster]:
    """Give one cluster without nodes to all tests of the session.

    Tests keep apart by namespaces and node names of their own, and remove their nodes.
    """
    del binaries  # they are built by now
    with Cluster.start(_unique_name(), SHORT) as cluster:
        yield cluster


@pytest.fixture
def fresh_devcluster(binaries: Callable[[str], Path]) -> Iterator[Callable[..., Cluster]]:
    """Give a function that starts a cluster for this test alone: `fresh_devcluster(settings=…)`."""
    del binaries
    with ExitStack() as stack:

        def start(settings: ClusterSettings = SHORT) -> Cluster:
            return stack.enter_context(Cluster.start(_unique_name(), settings))

        yield start


def _unique_name() -> str:
    return f"test-{os.getpid()}-{secrets.token_hex(3)}"
