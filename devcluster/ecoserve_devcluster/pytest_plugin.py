"""Fixtures that give tests a real cluster; missing binaries are built, never a reason to skip.

A test that fails while its process runs clusters keeps their logs and objects in pytest's cache: the report of the failure
names the folder, says which programs have ended, and shows the last lines of those that the test added.

Load with `pytest_plugins = ["ecoserve_devcluster.pytest_plugin"]` in the top `conftest.py`.
"""

import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from _pytest._code.code import ExceptionRepr

from ecoserve_devcluster import state
from ecoserve_devcluster.binaries import CONTROL_PLANE, KWOK
from ecoserve_devcluster.build import binary, build_missing
from ecoserve_devcluster.cluster import Cluster, ClusterSettings
from ecoserve_devcluster.paths import cluster_folder

SHORT = ClusterSettings(serving_start_seconds=0.5, job_seconds=5.0)

_KEPT_FAILURES = 10
_SHOWN_LINES = 15
_CONTROL_PLANE = {*CONTROL_PLANE.commands, KWOK.name, "supervisor"}
_KINDS = "nodes,leases,deployments,replicasets,pods,jobs,events"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what tells why a test failed before its clusters end, and say in its report where."""
    report = yield
    own = [each for each in state.running() if each.starter.pid == os.getpid()] if report.failed else []
    cache = item.config.cache if item.config.pluginmanager.hasplugin("cacheprovider") else None
    if own and cache is not None and isinstance(report.longrepr, ExceptionRepr):
        folder = _new_folder(cache.mkdir("clusters-of-failures"), item.name)
        told = [paragraph for each in own for paragraph in _keep(each, folder / each.name)]
        report.longrepr.addsection("clusters", "\n\n".join([f"logs and objects: {folder}", *told]))
    return report


def _new_folder(kept: Path, test: str) -> Path:
    """Make a folder for one failure, and let the oldest ones go."""
    for old in sorted(kept.iterdir())[: 1 - _KEPT_FAILURES]:
        shutil.rmtree(old, ignore_errors=True)
    words = re.sub(r"\W+", "-", test)[:60]
    folder = kept / f"{time.strftime('%Y%m%d-%H%M%S')}-{words}-{secrets.token_hex(2)}"
    folder.mkdir()
    return folder


def _keep(cluster: state.ClusterState, folder: Path) -> list[str]:
    """Copy a cluster's logs and objects; return what the failure's report is to show of it."""
    shutil.copytree(cluster_folder(cluster.name) / "logs", folder)
    kubeconfig = cluster_folder(cluster.name) / "kubeconfigs" / "admin.yaml"
    if kubeconfig.exists():  # it got as far as to have an API server
        asked = ["get", _KINDS, "--all-namespaces", "--output=yaml", "--request-timeout=5s"]
        with (folder / "objects.yaml").open("wb") as objects:
            subprocess.run(
                [binary("kubectl"), f"--kubeconfig={kubeconfig}", *asked],
                stdout=objects,
                stderr=subprocess.STDOUT,
                check=False,
            )
    told = []
    for program in cluster.processes:
        lines = (folder / f"{program.name}.log").read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
        if not program.runs:
            told.append(f"{program.name} of {cluster.name} has ended")
        if program.name not in _CONTROL_PLANE or not program.runs:
            told.append("\n".join([f"last lines of {program.name} of {cluster.name}:", *lines]))
    return told


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
