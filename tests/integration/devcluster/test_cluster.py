"""The shared cluster does what a cluster does: nodes, pods, Jobs, RBAC, a second scheduler."""

import json
import secrets

import kubernetes
import pytest
import yaml

from ecoserve.fleet.fleet_file import FleetFile
from ecoserve_devcluster import DevclusterError, KubectlError, apply_fleet

pytestmark = pytest.mark.devcluster


@pytest.fixture
def namespace(devcluster):
    name = devcluster.create_namespace(f"test-{secrets.token_hex(3)}")
    yield name
    devcluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def nodes(devcluster):
    """Two nodes with GPUs and one without."""
    prefix = f"n{secrets.token_hex(3)}"
    groups = [
        {
            "name": f"{prefix}-gpu",
            "sku": "g6.48xlarge",
            "count": 2,
            "zone": "us-west",
            "installed": "2024-02-01",
        },
        {"name": f"{prefix}-cpu", "sku": "m7i.48xlarge", "count": 1, "zone": "us-east"},
    ]
    names = apply_fleet(devcluster, FleetFile(nodes=groups))
    yield names
    devcluster.kubectl("delete", "node", *names)


def apply(cluster, *manifests):
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))


def pod_spec(**changes):
    return {"containers": [{"name": "main", "image": "engine", **changes}]}


def get(cluster, *arguments):
    return json.loads(cluster.kubectl("get", *arguments, "-o", "json"))


def test_every_part_is_healthy(devcluster):
    assert devcluster.kubectl("get", "--raw", "/readyz") == "ok"
    assert {each.name for each in devcluster.processes()} >= {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
    }
    assert json.loads(devcluster.kubectl("get", "--raw", "/version"))["gitVersion"] == "v1.36.3"


def test_nodes_of_a_fleet_are_ready_with_their_devices(devcluster, nodes):
    node = get(devcluster, "node", nodes[0])
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert node["metadata"]["labels"]["ecoserve.dev/installed"] == "2024-02-01"
    assert node["spec"].get("taints", []) == []


def test_a_node_that_says_nothing_of_itself_becomes_ready_too(devcluster):
    name = f"n{secrets.token_hex(3)}-bare"
    metadata = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}}
    apply(devcluster, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    devcluster.kubectl("wait", "--for=condition=Ready", f"node/{name}", "--timeout=30s")
    devcluster.kubectl("delete", "node", name)


def test_a_fleet_applied_again_changes_its_nodes(devcluster, nodes):
    prefix = nodes[0].removesuffix("-0")
    group = {"name": prefix, "sku": "g6.48xlarge", "count": 1, "zone": "us-north", "allocatable": {"cpu": 96}}
    assert apply_fleet(devcluster, FleetFile(nodes=[group])) == (nodes[0],)
    node = get(devcluster, "node", nodes[0])
    assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "us-north"
    assert node["status"]["allocatable"]["cpu"] == "96"


def test_a_serving_deployment_runs_on_gpus_and_is_available_only_after_its_model_is_loaded(
    devcluster, nodes, namespace
):
    labels = {"ecoserve.dev/serving": "chat"}
    template = {
        "metadata": {"labels": labels},
        "spec": pod_spec(resources={"limits": {"nvidia.com/gpu": "8"}}),
    }
    apply(
        devcluster,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "engine", "namespace": namespace},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        },
    )
    devcluster.kubectl("rollout", "status", "deployment/engine", "-n", namespace, "--timeout=30s")
    pods = get(devcluster, "pods", "-n", namespace)["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == set(nodes[:2])
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}


def test_a_serving_pod_runs_before_it_is_ready(fresh_pod):
    phases = fresh_pod({"ecoserve.dev/serving": "chat"})
    assert ("Running", False) in phases
    assert phases[-1] == ("Running", True)


def test_another_pod_is_ready_as_soon_as_it_runs(fresh_pod):
    assert ("Running", False) not in fresh_pod({})


@pytest.fixture
def fresh_pod(devcluster, nodes, namespace):
    """Create a pod and give the distinct (phase, ready) it goes through, until it is ready."""
    del nodes  # they only have to be there

    def watched(labels):
        with devcluster.client() as client:
            core = kubernetes.client.CoreV1Api(client)
            pod = {"metadata": {"name": "watched", "labels": labels}, "spec": pod_spec()}
            core.create_namespaced_pod(namespace, pod)
            seen = []
            watch = kubernetes.watch.Watch()
            for event in watch.stream(core.list_namespaced_pod, namespace, timeout_seconds=30):
                status = event["object"].status
                ready = any(
                    each.type == "Ready" and each.status == "True" for each in status.conditions or ()
                )
                seen.append((status.phase, ready))
                if ready:
                    watch.stop()
            return seen

    return watched


def test_a_job_completes_after_its_simulated_duration(devcluster, nodes, namespace):
    del nodes
    template = {
        "metadata": {"annotations": {"ecoserve.dev/simulated-duration": "1s"}},
        "spec": {**pod_spec(), "restartPolicy": "Never"},
    }
    apply(
        devcluster,
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "batch", "namespace": namespace},
            "spec": {"completions": 2, "parallelism": 2, "template": template},
        },
    )
    devcluster.kubectl("wait", "--for=condition=Complete", "job/batch", "-n", namespace, "--timeout=30s")
    assert get(devcluster, "job/batch", "-n", namespace)["status"]["succeeded"] == 2


def test_a_service_account_may_do_what_rbac_grants_and_nothing_else(devcluster, namespace):
    devcluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    devcluster.kubectl("create", "role", "reader", "--verb=list,get", "--resource=pods", "-n", namespace)
    devcluster.kubectl(
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        f"--serviceaccount={namespace}:reader",
        "-n",
        namespace,
    )
    kubeconfig = devcluster.kubeconfig_for("reader", namespace)
    assert kubeconfig.stat().st_mode & 0o077 == 0
    devcluster.kubectl("get", "pods", "-n", namespace, kubeconfig=kubeconfig)
    with pytest.raises(KubectlError, match="Forbidden"):
        devcluster.kubectl("get", "pods", "-n", "default", kubeconfig=kubeconfig)
    with pytest.raises(KubectlError, match="Forbidden"):
        devcluster.kubectl("get", "nodes", kubeconfig=kubeconfig)


def test_a_second_scheduler_binds_the_pods_of_its_profile_and_survives_a_crash(devcluster, nodes, namespace):
    profile = f"second-{namespace}"
    config = {
        "profiles": [
            {
                "schedulerName": profile,
                "pluginConfig": [
                    {
                        "name": "NodeAffinity",
                        "args": {"addedAffinity": _required_node(nodes[2])},
                    }
                ],
            }
        ]
    }
    scheduler = devcluster.start_scheduler(profile, config)
    try:
        _run_pod(devcluster, namespace, "first", profile)
        scheduler.kill()
        assert not scheduler.running
        scheduler.restart()
        assert scheduler.running
        _run_pod(devcluster, namespace, "second", profile)
    finally:
        scheduler.stop()
    assert not scheduler.running
    pods = get(devcluster, "pods", "-n", namespace)["items"]
    assert [pod["spec"]["nodeName"] for pod in pods] == [nodes[2], nodes[2]]


def test_a_scheduler_with_a_bad_configuration_is_refused_with_its_own_words(devcluster):
    with pytest.raises(DevclusterError, match="percentageOfNodesToScore"):
        devcluster.start_scheduler("wrong", {"percentageOfNodesToScore": 400})
    assert "wrong" not in {each.name for each in devcluster.processes()}


def test_a_program_runs_as_part_of_the_cluster(devcluster):
    port = devcluster.free_port()
    server = ["python3", "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    process = devcluster.run("files", server, health_url=f"http://127.0.0.1:{port}/")
    assert process.running
    assert f"port {port}" in process.tail()
    process.stop()
    assert not process.running


def _run_pod(cluster, namespace, name, scheduler):
    spec = {**pod_spec(), "schedulerName": scheduler}
    apply(
        cluster,
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec},
    )
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, "--timeout=30s")


def _required_node(name):
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [expression]}]
        }
    }
