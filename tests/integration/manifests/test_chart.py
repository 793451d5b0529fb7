"""The chart through the real helm: lint, values, what it renders, and that the plain manifests are the same."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoserve.api import labels
from ecoserve.catalog.loading import shipped_catalog
from ecoserve.catalog.overlay import with_entries
from ecoserve_extender.scheduler_config import build_scheduler_configuration
from ecoserve_operator.monitoring.alerts import build_alert_rules
from ecoserve_operator.monitoring.dashboard import build_dashboard

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm" / "ecoserve"

Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Objects = list[dict[str, Any]]
Render = Callable[..., Objects]


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def kinds(objects: Objects) -> set[str]:
    return {each["kind"] for each in objects}


def test_lint(helm: Helm) -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_generated_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "manifests" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_plain_manifests_are_the_chart_with_its_defaults(render: Render) -> None:
    namespace, *rest = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert [each for each in rest if each] == render()


def test_defaults_render_what_is_needed_and_nothing_that_needs_more(render: Render) -> None:
    objects = render()
    assert {"CustomResourceDefinition", "Deployment", "PriorityClass", "PodDisruptionBudget"} <= kinds(
        objects
    )
    assert not {"ServiceMonitor", "NetworkPolicy", "Secret"} & kinds(objects)
    offline = one(objects, "PriorityClass", labels.OFFLINE_PRIORITY_CLASS)
    assert offline["preemptionPolicy"] == "Never"
    assert offline["value"] < 0


def test_scheduler_reads_the_configuration_of_the_code(render: Render) -> None:
    text = one(render(), "ConfigMap", "ecoserve-scheduler")["data"]["scheduler-configuration.yaml"]
    assert yaml.safe_load(text) == build_scheduler_configuration(lease_namespace="ecoserve-system")


def test_scheduler_finds_its_extender_on_another_port(render: Render) -> None:
    objects = render("extender.port=9999", "scheduler.configuration.parallelism=4")
    text = one(objects, "ConfigMap", "ecoserve-scheduler")["data"]["scheduler-configuration.yaml"]
    configuration = yaml.safe_load(text)
    assert {entry["urlPrefix"] for entry in configuration["extenders"]} == {"http://127.0.0.1:9999"}
    assert configuration["parallelism"] == 4
    containers = one(objects, "Deployment", "ecoserve-scheduler")["spec"]["template"]["spec"]["containers"]
    assert "--port=9999" in containers[1]["args"]


def test_changed_configuration_rolls_the_scheduler(render: Render) -> None:
    def checksum(*settings: str) -> str:
        template = one(render(*settings), "Deployment", "ecoserve-scheduler")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/configuration"])

    assert checksum() != checksum("scheduler.configuration.parallelism=4")


def test_a_catalogue_of_ones_own_reaches_the_operator_and_rolls_it(render: Render) -> None:
    given = "operator.catalog.accelerators.h100-sxm.idleWatts=68"
    pod = one(render(given), "Deployment", "ecoserve-operator")["spec"]["template"]
    assert "--catalog=/etc/ecoserve/catalog.yaml" in pod["spec"]["containers"][0]["args"]
    assert pod["metadata"]["annotations"]["checksum/catalog"]
    text = one(render(given), "ConfigMap", "ecoserve-catalog")["data"]["catalog.yaml"]
    catalog = with_entries(yaml.safe_load(text), shipped_catalog(), "chart")
    assert catalog.accelerator("h100-sxm").idle_watts == 68
    plain = one(render(), "Deployment", "ecoserve-operator")["spec"]["template"]
    assert "annotations" not in plain["metadata"]


@pytest.mark.parametrize("deployment", ["ecoserve-operator", "ecoserve-scheduler"])
def test_pods_are_restricted_and_probed(render: Render, deployment: str) -> None:
    pod = one(render(), "Deployment", deployment)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "schedulerName" not in pod, "our own pods must not wait for the scheduler they bring"
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])
        assert "livenessProbe" in container
        assert not container["image"].endswith(":latest")


def test_image_is_that_of_the_chart_or_as_set(render: Render) -> None:
    def image(*settings: str) -> str:
        pod = one(render(*settings), "Deployment", "ecoserve-operator")["spec"]["template"]["spec"]
        return str(pod["containers"][0]["image"])

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert image() == f"ecoserve:{chart['appVersion']}"
    assert image("image.repository=example.org/e", "image.tag=v7") == "example.org/e:v7"
    digest = "sha256:" + "0" * 64
    assert image("image.repository=example.org/e", f"image.digest={digest}") == f"example.org/e@{digest}"


def test_crds_can_be_left_out_or_given_up(render: Render) -> None:
    assert "CustomResourceDefinition" not in kinds(render("crds.install=false"))
    for keep in ("true", "false"):
        crds = [e for e in render(f"crds.keep={keep}") if e["kind"] == "CustomResourceDefinition"]
        assert len(crds) == 4
        policies = {crd["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for crd in crds}
        assert policies == ({"keep"} if keep == "true" else {None})


def test_options_add_or_leave_out_their_objects(render: Render) -> None:
    assert "NetworkPolicy" in kinds(render("networkPolicy.create=true"))
    assert "ServiceMonitor" in kinds(render("metrics.serviceMonitor.create=true"))
    assert not {"ClusterRole", "RoleBinding"} & kinds(render("rbac.create=false"))
    assert "PriorityClass" not in kinds(render("priorityClass.create=false"))
    assert "PodDisruptionBudget" not in kinds(render("operator.replicas=1", "scheduler.replicas=1"))
    assert "DaemonSet" not in kinds(render())


def test_an_extender_that_asks_a_prometheus_may_reach_it(render: Render) -> None:
    def ports(*settings: str) -> set[int | str]:
        policy = one(render("networkPolicy.create=true", *settings), "NetworkPolicy", "ecoserve-scheduler")
        return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

    settings = ("extender.prometheusUrl=http://prometheus:9090", "extender.controlPlane.create=true")
    assert ports(*settings) - ports() == {9090}
    for kind, name in (("Deployment", "ecoserve-scheduler"), ("DaemonSet", "ecoserve-extender")):
        arguments = one(render(*settings), kind, name)["spec"]["template"]["spec"]["containers"][-1]["args"]
        assert {"--use=prometheus", "--prometheus-url=http://prometheus:9090"} <= set(arguments)


def test_alerts_and_dashboard_are_rendered_whole(render: Render) -> None:
    objects = render("metrics.prometheusRule.create=true", "metrics.dashboard.create=true")
    assert one(objects, "PrometheusRule", "ecoserve")["spec"] == build_alert_rules()
    dashboard = one(objects, "ConfigMap", "ecoserve-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["ecoserve.json"]) == build_dashboard()


def test_a_service_of_the_extender_speaks_tls(render: Render, helm: Helm) -> None:
    settings = ("extender.service.create=true", "extender.service.clusterIP=10.96.88.88")
    objects = render(*settings, "extender.service.tlsSecret=calls")
    service = one(objects, "Service", "ecoserve-extender")
    assert service["spec"]["clusterIP"] == "10.96.88.88"
    assert service["spec"]["ports"] == [{"name": "calls", "port": 8443, "targetPort": "calls"}]
    arguments = one(objects, "Deployment", "ecoserve-scheduler")["spec"]["template"]["spec"]["containers"][1][
        "args"
    ]
    assert "--client-ca=/etc/ecoserve-tls/ca.crt" in arguments
    refused = helm("template", "ecoserve", CHART, "--set", ",".join(settings))
    assert "extender.service.create needs extender.service.tlsSecret" in refused.stderr


def test_calls_are_taken_on_loopback_only(render: Render) -> None:
    for objects in (render(), render("extender.controlPlane.create=true")):
        for kind, name in (("Deployment", "ecoserve-scheduler"), ("DaemonSet", "ecoserve-extender")):
            for each in objects:
                if (each["kind"], each["metadata"]["name"]) == (kind, name):
                    container = each["spec"]["template"]["spec"]["containers"][-1]
                    assert {port["name"] for port in container.get("ports", [])} <= {"observe"}
    daemon = one(render("extender.controlPlane.create=true"), "DaemonSet", "ecoserve-extender")
    container = daemon["spec"]["template"]["spec"]["containers"][0]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert {(probe.get("host"), probe["port"]) for probe in probes} == {("127.0.0.1", 8888)}
    assert not any(argument.startswith("--observe-port") for argument in container["args"])


def test_an_extender_on_the_control_plane_is_looked_at_where_asked_for(render: Render) -> None:
    objects = render("extender.controlPlane.create=true", "extender.controlPlane.observe=true")
    pod = one(objects, "DaemonSet", "ecoserve-extender")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert "--observe-port=8889" in container["args"]
    assert container["ports"] == [{"name": "observe", "containerPort": 8889}]
    service = one(objects, "Service", "ecoserve-extender-metrics")
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8889, "targetPort": "observe"}]
    unseen = render("extender.controlPlane.create=true")
    assert "ecoserve-extender-metrics" not in {each["metadata"]["name"] for each in unseen}


def test_without_the_admission_policy_every_pod_waits_for_the_extender(render: Render, helm: Helm) -> None:
    def ignorable(*settings: str) -> list[bool]:
        text = one(render(*settings), "ConfigMap", "ecoserve-scheduler")["data"][
            "scheduler-configuration.yaml"
        ]
        return [entry["ignorable"] for entry in yaml.safe_load(text)["extenders"]]

    assert "MutatingAdmissionPolicy" in kinds(render())
    assert ignorable() == [False, True]
    assert "MutatingAdmissionPolicy" not in kinds(render("admissionPolicy.create=false"))
    assert ignorable("admissionPolicy.create=false") == [False]
    old = helm("template", "ecoserve", CHART, "--kube-version", "1.34.0")
    assert "admissionPolicy.create needs Kubernetes 1.36" in old.stderr


def test_the_operators_account_is_bound_to_what_is_its_own(render: Render) -> None:
    policies = [each for each in render(release="other") if each["kind"] == "ValidatingAdmissionPolicy"]
    conditions = {each["spec"]["matchConditions"][0]["expression"] for each in policies}
    account = "system:serviceaccount:ecoserve-system:other-ecoserve-operator"
    assert conditions == {f"request.userInfo.username == '{account}'"}
    assert "ValidatingAdmissionPolicy" not in kinds(render("rbac.writePolicy=false"))


def test_rights_on_inference_pools_are_given_only_where_asked_for(render: Render) -> None:
    def groups(*settings: str) -> set[str]:
        rules = one(render(*settings), "ClusterRole", "ecoserve-operator")["rules"]
        return {group for rule in rules for group in rule["apiGroups"]}

    assert groups("rbac.inferencePools=true") - groups() == {"inference.networking.k8s.io"}


def test_two_releases_share_no_names_but_those_of_the_cluster(render: Render) -> None:
    def names(release: str) -> set[tuple[str, str]]:
        rendered = render(
            "crds.install=false",
            "priorityClass.create=false",
            "admissionPolicy.create=false",
            release=release,
        )
        return {(each["kind"], each["metadata"]["name"]) for each in rendered}

    assert not names("one") & names("two")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("operator.replicas=-1", "at '/operator/replicas': minimum: got -1, want 0"),
        ("operator.replicas=many", "at '/operator/replicas': got string, want integer"),
        ("operatr.replicas=1", "additional properties 'operatr' not allowed"),
        ("operator.catalog.gpus=1", "at '/operator/catalog': additional properties 'gpus' not allowed"),
        ("operator.replica=1", "at '/operator': additional properties 'replica' not allowed"),
        ("extender.port=80", "at '/extender/port': minimum: got 80, want 1,024"),
        ("image.pullPolicy=Sometimes", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("image.repository=", "at '/image/repository': minLength"),
        ("image.digest=latest", "at '/image/digest': 'latest' does not match pattern"),
        ("priorityClass.value=5", "at '/priorityClass/value': maximum: got 5, want -1"),
        ("operator.resources.requests.cpu=lots", "at '/operator/resources/requests/cpu': 'lots'"),
        ("crds.install=1", "at '/crds/install': got number, want boolean"),
        ("metrics.serviceMonitor.interval=30", "want string"),
    ],
)
def test_wrong_value_is_refused_by_name(helm: Helm, setting: str, sentence: str) -> None:
    done = helm("template", "ecoserve", CHART, "--set", setting)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_service_monitor_without_its_service_is_refused(helm: Helm) -> None:
    wrong = "metrics.service.create=false,metrics.serviceMonitor.create=true"
    done = helm("template", "ecoserve", CHART, "--set", wrong)
    assert done.returncode != 0
    assert "metrics.serviceMonitor.create needs metrics.service.create" in done.stderr
