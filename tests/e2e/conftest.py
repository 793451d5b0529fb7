"""What runs of end-to-end tests tell each other.

The workers of one run (pytest-xdist): that each has begun and ended, in a folder of theirs. Each run the later ones: the
rights that were used.
"""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import ecoserve_operator.main
from ecoserve_devcluster import Cluster
from ecoserve_devcluster.audit import Right, read_audit, rights_used

ACCOUNT = "system:serviceaccount:ecoserve-system:operator"
FOLDER = Path(__file__).parent / "operator"
FIRST = (
    "test_demo.py", "test_outages.py", "test_measured_load.py", "test_deferral.py", "test_faults.py", "test_accounts.py",
    "test_standby.py", "test_history.py", "test_instances_and_ticks.py", "test_make_before_break.py",
)  # fmt: skip
"""The files that take longest, the longest first: one that began last would leave the other workers nothing to do."""
LAST = ("test_crowd.py", "test_rights.py")
"""What others would have to wait for, and which rights were used: that is known when everything else has run."""
_COLLECTED: "pytest.StashKey[dict[str, set[str]]]" = pytest.StashKey()
_PASSED: "pytest.StashKey[set[str]]" = pytest.StashKey()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put files into their order."""
    places = {name: place for place, name in enumerate((*FIRST, "any other", *LAST))}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))
    collected: dict[str, set[str]] = {}
    for item in items:
        if item.path.parent == FOLDER:
            collected.setdefault(item.path.name, set()).add(item.nodeid)
    config.stash[_COLLECTED] = collected
    config.stash[_PASSED] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take down what has passed: a test that failed has not used all that it would."""
    report = yield
    if report.when == "call" and report.passed:
        item.config.stash[_PASSED].add(item.nodeid)
    return report


class RightsUsed:
    """Which rights the operator used in which files of tests: in this run, and in earlier ones of the same code.

    Runs are kept in pytest's cache, each with the digest of its files and of the operator.
    """

    _KEY = "ecoserve/rights-used"

    def __init__(self, cluster: Cluster, config: pytest.Config) -> None:
        self._cluster = cluster
        self._config = config

    def over_all_runs(self) -> tuple[set[Right], list[str]]:
        """The rights that were used, and the files of which no run is known in which all passed."""
        runs = [self._this_run(), *self._earlier()]
        seen = {name for run in runs for name in run["files"]}
        used = {(group, resource, verb) for run in runs for group, resource, verb in run["rights"]}
        return used, sorted(_digests().keys() - seen)

    def keep(self) -> None:
        """Keep this run for later ones; it replaces those of which it has all files."""
        this = self._this_run()
        if this["files"]:
            others = [run for run in self._earlier() if not run["files"].keys() <= this["files"].keys()]
            self._config.cache.set(self._KEY, [this, *others])  # type: ignore[union-attr]  # never turned off

    def _earlier(self) -> list[Any]:
        now = _digests()
        kept = self._config.cache.get(self._KEY, [])  # type: ignore[union-attr]
        return [run for run in kept if run["files"].items() <= now.items()]

    def _this_run(self) -> dict[str, Any]:
        whole = not any("::" in argument for argument in self._config.args)
        collected, passed = self._config.stash[_COLLECTED], self._config.stash[_PASSED]
        files = {
            name: digest
            for name, digest in _digests().items()
            if whole and collected.get(name, {""}) <= passed
        }
        accesses = (each for each in read_audit(self._cluster.audit_log) if each.user == ACCOUNT)
        return {"files": files, "rights": sorted(rights_used(accesses))}


def _digests() -> dict[str, str]:
    """A digest of each file of tests together with all that it tests."""
    sources = [
        Path(__file__),
        Path(__file__).with_name("faults.py"),
        FOLDER / "conftest.py",
        *sorted(Path(ecoserve_operator.main.__file__).parent.rglob("*.py")),
    ]
    common = b"".join(path.read_bytes() for path in sources)
    return {
        path.name: hashlib.sha256(common + path.read_bytes()).hexdigest()
        for path in FOLDER.glob("test_*.py")
        if path.name != "test_rights.py"
    }


@pytest.fixture(scope="session")
def rights_used_on(request: pytest.FixtureRequest) -> Callable[[Cluster], RightsUsed]:
    """The rights used on a cluster, together with those of earlier runs."""
    return lambda cluster: RightsUsed(cluster, request.config)


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


@pytest.fixture(scope="session")
def other_workers_ended(workers_folder: Path, worker_id: str) -> None:
    """Wait for the other workers of this run: their tests use rights, too."""
    others = [each for each in workers_folder.glob("*.begun") if each.stem != worker_id]
    deadline = time.monotonic() + 1200
    while not all(each.with_suffix(".ended").exists() for each in others):
        assert time.monotonic() < deadline, f"one of {others} did not end"
        time.sleep(0.5)
