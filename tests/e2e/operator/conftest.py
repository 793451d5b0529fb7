"""A small cluster of its own with the operator running in it under the rights the chart gives it.

It is not the session's shared cluster: the operator plans every node there is, whoever made it.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import urllib3.exceptions
import yaml

import ecoserve_operator.main
from ecoserve.api.crds import build_crds
from ecoserve.fleet.fleet_file import load_fleet
from ecoserve_devcluster import Cluster, ClusterSettings, Process, apply_fleet
from ecoserve_devcluster.audit import Access, Right, read_audit, rights_used
from ecoserve_operator.rbac import (
    build_inference_pool_rules,
    build_operator_lease_rules,
    build_operator_rules,
    build_write_policy,
)

NAMESPACE = "ecoserve-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:operator"
FLEET = """
nodes:
  - {sku: g6.48xlarge, count: 1, zone: west, installed: 2024-02-01}
  - {sku: g6.48xlarge, count: 1, zone: east, installed: 2024-02-01}
  - {sku: m7i.48xlarge, count: 1, zone: west, installed: 2024-01-01}
"""
_OURS = "/apis/ecoserve.dev/v1alpha1"
PATHS = {
    "llmserving": _OURS + "/namespaces/{}/llmservings",
    "gridzone": _OURS + "/gridzones",
    "placementplan": _OURS + "/placementplans",
    "deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "poddisruptionbudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "httproute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "job": "/apis/batch/v1/namespaces/{}/jobs",
    "node": "/api/v1/nodes",
    **{kind: f"/api/v1/namespaces/{{}}/{kind}s" for kind in ("configmap", "event", "pod", "service")},
}
"""Where the API server has the kinds that tests look at, by their singular; `{}` is the namespace."""
Body = dict[str, Any]


FOLDER = Path(__file__).parent
_COLLECTED: "pytest.StashKey[dict[str, set[str]]]" = pytest.StashKey()
_PASSED: "pytest.StashKey[set[str]]" = pytest.StashKey()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Which rights were used is known when everything else has run."""
    items.sort(key=lambda item: item.path.name == "test_rights.py" and item.path.parent == FOLDER)
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
    sources = [Path(__file__), *sorted(Path(ecoserve_operator.main.__file__).parent.rglob("*.py"))]
    common = b"".join(path.read_bytes() for path in sources)
    return {
        path.name: hashlib.sha256(common + path.read_bytes()).hexdigest()
        for path in FOLDER.glob("test_*.py")
        if path.name != "test_rights.py"
    }


@dataclass(frozen=True)
class World:
    """The cluster, with shorthands for what tests do all the time."""

    cluster: Cluster
    namespace: str

    def apply(self, *bodies: Body) -> None:
        self.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bodies))

    def get(self, kind: str, name: str = "") -> Any:
        path = PATHS[kind.removesuffix("s")].format(self.namespace)
        return self.cluster.read(f"{path}/{name}") if name else self.cluster.read(path)["items"]

    def patch(self, kind: str, name: str, patch: Body) -> None:
        self.cluster.kubectl(
            "patch", kind, name, "-n", self.namespace, "--type=merge", "-p", json.dumps(patch)
        )

    def plan(self) -> Any:
        return self.get("placementplan", "current")

    def node(self, zone: str, sku: str) -> Any:
        labels = f"topology.kubernetes.io/zone={zone},node.kubernetes.io/instance-type={sku}"
        found = self.cluster.read(f"{PATHS['node']}?labelSelector={labels}")["items"]
        return self.get("node", found[0]["metadata"]["name"]) if found else None

    def condition(self, name: str, kind: str) -> Body:
        status = self.get("llmserving", name).get("status", {})
        return next((c for c in status.get("conditions", []) if c["type"] == kind), {})

    def has_condition(self, name: str, kind: str, status: str, reason: str = "") -> Callable[[], bool]:
        def holds() -> bool:
            found = self.condition(name, kind)
            return found.get("status") == status and (not reason or found["reason"] == reason)

        return holds

    def replicas_by_zone(self, serving: str) -> dict[str, int]:
        """Ready replicas of a serving, by the zone of the pool they run on."""
        ready: dict[str, int] = {}
        for deployment in self.get("deployments"):
            labels = deployment["metadata"]["labels"]
            if labels["ecoserve.dev/serving"] == serving:
                zone = "west" if ".west." in labels["ecoserve.dev/pool"] else "east"
                ready[zone] = ready.get(zone, 0) + deployment.get("status", {}).get("readyReplicas", 0)
        return ready

    def serve(self, name: str, **spec: Any) -> None:
        """Apply an LLMServing of an 8B model with a little online load; `spec` overrides its fields."""
        self.serve_many([name], **spec)

    def serve_many(self, names: list[str], **spec: Any) -> None:
        """The same for many at once."""
        self.apply(*(_serving(name, self.namespace, **spec) for name in names))

    @staticmethod
    def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
        """Wait until `holds` returns something true, and return that."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, f"{holds} did not come true within {seconds} s"
            time.sleep(0.1)
        return found

    @contextmanager
    def watched(self, serving: str) -> Iterator[list[float]]:
        """Sample, until left, what the ready replicas of a serving sustain in requests/s, whenever the API server answers."""
        samples: list[float] = []
        over = threading.Event()

        def watch(api: kubernetes.client.AppsV1Api) -> None:
            selector = f"ecoserve.dev/serving={serving}"
            while not over.wait(0.1):
                with contextlib.suppress(kubernetes.client.ApiException, urllib3.exceptions.HTTPError):
                    found = api.list_namespaced_deployment(
                        self.namespace, label_selector=selector, _request_timeout=2
                    )
                    samples.append(sum(_sustained(item) for item in found.items))

        with self.cluster.client() as connection:
            connection.configuration.retries = False
            thread = threading.Thread(target=watch, args=(kubernetes.client.AppsV1Api(connection),))
            thread.start()
            try:
                yield samples
            finally:
                over.set()
                thread.join()

    def intensity(self, west: float, east: float) -> None:
        self.apply(_zone("west", west), _zone("east", east))


def _sustained(deployment: kubernetes.client.V1Deployment) -> float:
    each = deployment.metadata.annotations["ecoserve.dev/replica-requests-per-second"]
    return float(each) * (deployment.status.ready_replicas or 0)


def _zone(name: str, grams: float) -> Body:
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": name},
        "spec": {"intensity": {"gramsPerKilowattHour": grams}},
    }


@pytest.fixture(scope="session")
def operator_cluster(
    binaries: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    workers_folder: Path,
    worker_id: str,
) -> Iterator[Cluster]:
    del binaries  # they are built by now
    fleet = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    fleet.write_text(FLEET)
    name = f"operator-{os.getpid()}-{secrets.token_hex(2)}"
    with Cluster.start(
        name, ClusterSettings(serving_start_seconds=0.5, audited_namespaces=(NAMESPACE,))
    ) as cluster:
        _apply(cluster, *build_crds(), *_rights(), _priority_class())
        apply_fleet(cluster, load_fleet(fleet))
        cluster.start_scheduler("ecoserve", {"profiles": [{"schedulerName": "ecoserve"}]})
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
        yield cluster
        RightsUsed(cluster, request.config).keep()
        shutil.copy(cluster.audit_log, workers_folder / f"{worker_id}.audit")


@pytest.fixture(scope="session")
def other_workers_ended(workers_folder: Path, worker_id: str) -> None:
    """Wait for the other workers of this run: their tests use rights, too."""
    others = [each for each in workers_folder.glob("*.begun") if each.stem != worker_id]
    World.eventually(lambda: all(each.with_suffix(".ended").exists() for each in others), seconds=1200)


@pytest.fixture(scope="session")
def accesses(
    operator_cluster: Cluster, operator: Process, workers_folder: Path, other_workers_ended: None
) -> list[Access]:
    """What the operators of all workers asked the API server for."""
    del operator, other_workers_ended  # the one has run by now, also where a test is asked for alone
    logs = [operator_cluster.audit_log, *workers_folder.glob("*.audit")]
    return [each for log in logs for each in read_audit(log) if each.user == ACCOUNT]


@pytest.fixture(scope="session")
def rights_used_by_operator(
    operator_cluster: Cluster, request: pytest.FixtureRequest, other_workers_ended: None
) -> RightsUsed:
    """What this run and earlier ones tell of the rights that the operator uses."""
    del other_workers_ended
    return RightsUsed(operator_cluster, request.config)


@pytest.fixture(scope="session")
def metrics_url(operator_cluster: Cluster) -> str:
    """Where the first operator serves its metrics."""
    return f"http://127.0.0.1:{operator_cluster.free_port()}/metrics"


@pytest.fixture(scope="session")
def run_operator(operator_cluster: Cluster) -> Callable[..., Process]:
    """Start an operator as the ServiceAccount with the rights of `rbac`, or as whom a kubeconfig names."""
    account = operator_cluster.kubeconfig_for("operator", NAMESPACE)

    def run(name: str, *options: str, kubeconfig: Path = account) -> Process:
        argv = [
            sys.executable, "-m", "ecoserve_operator.main", "--lease-seconds=3", "--listen-host=127.0.0.1",
            "--metrics-port=0", "--compare-interval=5", "--room-wait=3", *options,
        ]  # fmt: skip
        port = operator_cluster.free_port()
        return operator_cluster.run(
            name,
            [*argv, f"--health-port={port}"],
            {"KUBECONFIG": str(kubeconfig)},
            health_url=f"http://127.0.0.1:{port}/healthz",
        )

    return run


@pytest.fixture(scope="session")
def operator(run_operator: Callable[..., Process], metrics_url: str) -> Process:
    port = metrics_url.rpartition(":")[2].partition("/")[0]
    return run_operator("operator-a", f"--metrics-port={port}")


@pytest.fixture
def world(operator_cluster: Cluster, operator: Process) -> Iterator[World]:
    """A namespace of the test's own, with zone west the cleaner one."""
    assert operator.running, operator.tail()
    namespace = operator_cluster.create_namespace(f"t-{secrets.token_hex(3)}")
    here = World(operator_cluster, namespace)
    here.intensity(west=50, east=600)
    yield here
    # All in one request: `delete --all` makes one for each, and waits for it.
    operator_cluster.kubectl(
        "delete", "--raw", f"/apis/ecoserve.dev/v1alpha1/namespaces/{namespace}/llmservings"
    )
    # The garbage collector learns of new kinds every 30 s, so the first test to end may wait for that.
    here.eventually(lambda: not here.get("deployments"), seconds=60)
    operator_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _serving(name: str, namespace: str, **spec: Any) -> Body:
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "LLMServing",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
            "online": {
                "slo": {"ttft": "2s", "tpot": "100ms"},
                "load": {"requestsPerSecond": 1.0, "lengths": "azure-conversation-2023"},
            },
            "template": {
                "spec": {
                    "containers": [
                        {"name": "sidecar", "image": "proxy"},
                        {
                            "name": "engine",
                            "image": "vllm",
                            "args": ["--model=${model}", "--tp=${tensorParallelSize}", "$HOME"],
                        },
                    ]
                }
            },
            **spec,
        },
    }


def _apply(cluster: Cluster, *bodies: Body) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bodies))


def _priority_class() -> Body:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "ecoserve-offline"},
        "value": -1000,
        "preemptionPolicy": "Never",
    }


def _rights() -> list[Body]:
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": NAMESPACE}
    cluster_role, role = {"name": "operator"}, {"name": "operator", "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": role},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": cluster_role,
            "rules": [*build_operator_rules(), *build_inference_pool_rules()],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": cluster_role,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "operator"},
            "subjects": [subject],
        },
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": role, "rules": build_operator_lease_rules()},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": role,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "operator"},
            "subjects": [subject],
        },
        *build_write_policy(ACCOUNT),
    ]


@pytest.fixture
def ecoserve(world: Any, binaries: Callable[[str], Path]) -> Callable[..., Any]:
    """Run `kubectl ecoserve …` through kubectl's own plugin mechanism."""
    kubectl = binaries("kubectl")
    scripts = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{kubectl.parent}{os.pathsep}{scripts}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(world.cluster.kubeconfig),
    }

    def run(*arguments: str) -> Any:
        return subprocess.run(
            [kubectl, "ecoserve", *arguments], capture_output=True, text=True, check=False, env=environment
        )

    return run
