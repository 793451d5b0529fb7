"""What stands in helm/, manifests/ and examples/kind/ is what the code says. (`install.yaml` needs helm: integration.)"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoserve.api import labels
from ecoserve.api.crds import build_crds
from ecoserve_extender.rbac import build_extender_rules
from ecoserve_extender.scheduler_config import build_scheduler_configuration
from ecoserve_operator.rbac import build_operator_lease_rules, build_operator_rules

ROOT = Path(__file__).parents[3]
FILES = ROOT / "helm" / "ecoserve" / "files"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("folder", [FILES / "crds", ROOT / "manifests" / "crds"], ids=["chart", "plain"])
def test_crds_are_those_of_the_code(folder: Path) -> None:
    assert {path.stem: read(path) for path in folder.iterdir()} == {
        crd["metadata"]["name"]: crd for crd in build_crds()
    }


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("operator-rules", build_operator_rules()),
        ("operator-lease-rules", build_operator_lease_rules()),
        ("extender-rules", build_extender_rules()),
        ("scheduler-configuration", build_scheduler_configuration(lease_namespace="ecoserve-system")),
    ],
)
def test_chart_reads_what_the_code_builds(name: str, built: Any) -> None:
    assert read(FILES / f"{name}.yaml") == built


def test_generated_yaml_repeats_rather_than_refers() -> None:
    anchors = re.compile(r"(^|\s)[&*]id\d+", re.MULTILINE)
    written = [*ROOT.glob("manifests/**/*.yaml"), *FILES.rglob("*.yaml"), *ROOT.glob("examples/kind/*.yaml")]
    assert len(written) > 10
    assert [path for path in written if anchors.search(path.read_text())] == []


def test_patched_default_scheduler_can_start_before_its_extender() -> None:
    configuration = read(ROOT / "examples" / "kind" / "scheduler-config.yaml")
    assert configuration["profiles"][0]["schedulerName"] == "default-scheduler"
    assert configuration["clientConnection"]["kubeconfig"] == "/etc/kubernetes/scheduler.conf"
    offline, general = configuration["extenders"]
    assert general["ignorable"] is True
    for entry, resource in ((offline, labels.OFFLINE_RESOURCE), (general, labels.CARBON_AWARE_RESOURCE)):
        assert entry["managedResources"] == [{"name": resource, "ignoredByScheduler": True}]


def test_no_rule_is_wide() -> None:
    rules = [*build_operator_rules(), *build_operator_lease_rules(), *build_extender_rules()]
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        if "secrets" in rule["resources"]:
            assert (rule["verbs"], rule.get("resourceNames")) == (["get"], ["ecoserve-grid-keys"])
        assert not {"pods/exec", "clusterroles", "nodes/proxy"} & set(rule["resources"])
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_generator_refuses_unknown_arguments() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "manifests" / "generate.py", "--chek"], capture_output=True, check=False
    )
    assert done.returncode == 2


def test_a_scheduler_that_speaks_tls_names_whom_it_believes() -> None:
    """kube-scheduler takes any certificate where no caFile is given, and says nothing."""
    configuration = read(ROOT / "examples" / "scheduler" / "over-tls.yaml")
    assert len(configuration["extenders"]) == 2
    for entry in configuration["extenders"]:
        assert entry["enableHTTPS"] is True
        assert entry["urlPrefix"].startswith("https://")
        assert set(entry["tlsConfig"]) == {"caFile", "certFile", "keyFile"}
