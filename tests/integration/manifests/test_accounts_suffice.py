"""The chart's ServiceAccounts can do the work: the real programs run with their tokens and are refused nothing."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from tenacity import retry, stop_after_delay, wait_fixed

from ecoserve.api import labels
from ecoserve_devcluster import Cluster, KubectlError
from ecoserve_devcluster.audit import read_audit, rights_of, rights_used
from ecoserve_extender.rbac import build_extender_rules

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMESPACE = "ecoserve-system"

NEEDED_ALL_THE_SAME = {
    (
        "",
        "pods/eviction",
        "create",
    ): "offline pods are evicted where online load grows, not here",
}

eventually = retry(stop=stop_after_delay(20), wait=wait_fixed(0.2), reraise=True)


def refusals(*logs: Path) -> list[str]:
    return [line for log in logs for line in log.read_text().splitlines() if "forbidden" in line.lower()]


@pytest.fixture(scope="module")
def work(installed: Cluster) -> str:
    return installed.create_namespace("work")


def test_scheduler_and_extender(installed: Cluster, work: str) -> None:
    kubeconfig = installed.kubeconfig_for("ecoserve-scheduler", NAMESPACE)
    url = f"http://127.0.0.1:{installed.free_port()}"
    extender = installed.run(
        "extender",
        [sys.executable, "-m", "ecoserve_extender.main", "--port", url.rpartition(":")[2]],
        {"KUBECONFIG": str(kubeconfig)},
        health_url=f"{url}/readyz",
    )
    held = installed.kubectl("get", "configmap", "ecoserve-scheduler", "-n", NAMESPACE, "--output=json")
    configuration = yaml.safe_load(json.loads(held)["data"]["scheduler-configuration.yaml"])
    for entry in configuration["extenders"]:
        entry["urlPrefix"] = url
    scheduler = installed.start_scheduler("ecoserve", configuration, kubeconfig=kubeconfig)

    job = yaml.safe_load((EXAMPLES / "offline-job.yaml").read_text())
    job["metadata"]["namespace"] = work
    del job["spec"]["template"]["metadata"]["annotations"]  # with a deadline it would wait for the operator
    del job["spec"]["template"]["spec"]["priorityClassName"]  # the admission policy puts it there
    installed.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))

    @eventually
    def decided() -> None:
        pods = json.loads(installed.kubectl("get", "pods", "-n", work, "--output=json"))["items"]
        assert len(pods) == 4
        for pod in pods:
            assert pod["spec"]["nodeName"] == "system"
            assert labels.OFFLINE_RESOURCE in pod["spec"]["containers"][0]["resources"]["requests"]
            assert pod["spec"]["priority"] < 0
            assert pod["spec"]["preemptionPolicy"] == "Never"
            assert json.loads(pod["metadata"]["annotations"][labels.DECISION])["node"] == "system"

    decided()
    lease = json.loads(
        installed.kubectl("get", "lease", "ecoserve-scheduler", "-n", NAMESPACE, "--output=json")
    )
    assert lease["spec"]["holderIdentity"]
    assert refusals(extender.log, scheduler.log) == []
    scheduler.stop()
    extender.stop()
    log = list(read_audit(installed.audit_log))
    account = f"system:serviceaccount:{NAMESPACE}:ecoserve-scheduler"
    assert [access for access in log if access.user == account and not access.allowed] == []
    granted = rights_of(build_extender_rules())
    unused = granted - rights_used(each for each in log if each.user == account)
    assert unused <= NEEDED_ALL_THE_SAME.keys() <= granted


OURS = {"app.kubernetes.io/managed-by": "ecoserve-operator"}
SPEC: dict[str, dict[str, object]] = {
    "ConfigMap": {"data": {"a": "b"}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
    "Job": {
        "spec": {
            "suspend": True,
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "python:3.13"}]}
            },
        }
    },
}
VERSIONS = {"PodDisruptionBudget": "policy/v1", "Job": "batch/v1"}


@pytest.mark.parametrize(
    ("kind", "before", "after", "refused"),
    [
        ("ConfigMap", None, OURS, False),
        ("ConfigMap", None, {}, True),
        ("ConfigMap", OURS, OURS, False),
        ("ConfigMap", OURS, {**OURS, "app.kubernetes.io/managed-by": "somebody"}, True),
        ("ConfigMap", {}, OURS, True),
        ("Service", {"app.kubernetes.io/managed-by": "helm"}, OURS, True),
        ("PodDisruptionBudget", {}, OURS, True),
        ("PodDisruptionBudget", OURS, OURS, False),
        ("Job", {labels.HELD: "true"}, {labels.HELD: "false"}, False),
        ("Job", {labels.HELD: "false"}, {labels.HELD: "true"}, True),
        ("Job", {}, {}, True),
    ],
)
def test_the_operator_writes_only_what_is_its_own(
    installed: Cluster,
    work: str,
    kind: str,
    before: dict[str, str] | None,
    after: dict[str, str],
    refused: bool,
) -> None:
    """What roles can't say a policy does: objects without the operator's label are out of its reach, and stay so."""

    def write(given: dict[str, str], data: str, kubeconfig: Path | None = None) -> None:
        metadata = {"name": "one", "namespace": work, "labels": given, "annotations": {"written": data}}
        body = {"apiVersion": VERSIONS.get(kind, "v1"), "kind": kind, "metadata": metadata, **SPEC[kind]}
        apply = ["apply", "--server-side", "--force-conflicts", f"--field-manager={data}", "--validate=false"]
        installed.kubectl(*apply, "-f", "-", stdin=json.dumps(body), kubeconfig=kubeconfig)

    if before is not None:
        write(before, "people")
    operator = installed.kubeconfig_for("ecoserve-operator", NAMESPACE)
    if refused:
        with pytest.raises(KubectlError, match="the operator writes only what bears the label"):
            write(after, "operator", operator)
    else:
        write(after, "operator", operator)
    installed.kubectl("delete", kind, "one", "-n", work, "--ignore-not-found", "--wait=false")


def test_a_deployment_of_others_is_not_the_operators_to_delete(installed: Cluster, work: str) -> None:
    installed.kubectl("create", "deployment", "one", "--image=nginx", "--replicas=0", "-n", work)
    operator = installed.kubeconfig_for("ecoserve-operator", NAMESPACE)
    delete = ("delete", "--raw", f"/apis/apps/v1/namespaces/{work}/deployments/one")
    with pytest.raises(KubectlError, match="the operator writes only what bears the label"):
        installed.kubectl(*delete, kubeconfig=operator)
    installed.kubectl(
        "label", "deployment", "one", "-n", work, "app.kubernetes.io/managed-by=ecoserve-operator"
    )
    installed.kubectl(*delete, kubeconfig=operator)


def test_operator(installed: Cluster) -> None:
    kubeconfig = installed.kubeconfig_for("ecoserve-operator", NAMESPACE)
    health = installed.free_port()
    operator = installed.run(
        "operator",
        [
            sys.executable, "-m", "ecoserve_operator.main", f"--namespace={NAMESPACE}", "--metrics-port=0",
            f"--health-port={health}", "--listen-host=127.0.0.1",
        ],
        {"KUBECONFIG": str(kubeconfig)},
        health_url=f"http://127.0.0.1:{health}/healthz",
    )  # fmt: skip
    manifests = [f"--filename={EXAMPLES / name}" for name in ("gridzones.yaml", "kind/serving.yaml")]
    installed.kubectl("apply", *manifests)

    @eventually
    def reported() -> None:
        zone = json.loads(installed.kubectl("get", "gridzone", "us-west", "--output=json"))
        assert zone["status"]["gramsPerKilowattHour"] == 256
        serving = json.loads(installed.kubectl("get", "llms", "small", "-n", "default", "--output=json"))
        assert {each["type"] for each in serving["status"]["conditions"]} >= {"Ready", "Feasible"}

    reported()
    lease = json.loads(
        installed.kubectl("get", "lease", "ecoserve-operator", "-n", NAMESPACE, "--output=json")
    )
    assert lease["spec"]["holderIdentity"]
    assert refusals(operator.log) == []
    operator.stop()
    installed.kubectl("delete", *manifests)
