"""The examples: taken by the API server as they stand, read without a cluster, and planned."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ecoserve.api import labels
from ecoserve.api.manifests import load_manifests
from ecoserve_devcluster import Cluster

EXAMPLES = Path(__file__).parents[3] / "examples"
MANIFESTS = [*sorted(EXAMPLES.glob("*.yaml")), EXAMPLES / "kind" / "serving.yaml"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_api_server_takes_it(installed: Cluster, path: Path) -> None:
    installed.kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(path))


def test_all_are_read_without_a_cluster() -> None:
    manifests = load_manifests([EXAMPLES])
    assert {serving.metadata.name for serving in manifests.servings} == {"chat", "code"}
    assert {zone.metadata.name for zone in manifests.grid_zones} == {"us-west", "us-east"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*serving*.yaml")), ids=lambda path: path.stem)
def test_templates_hold_their_placeholders(path: Path) -> None:
    for serving in load_manifests([path]).servings:
        for template in (serving.spec.template, serving.spec.cpu_template):
            if template is not None:
                text = yaml.safe_dump(template)
                assert "${model}" in text
                assert "${tensorParallelSize}" in text


def test_template_pods_are_restricted(installed: Cluster) -> None:
    """The engines' pods pass the strictest pod security, with placeholders as they are."""
    namespace = installed.create_namespace("engines")
    installed.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for path in MANIFESTS:
        for serving in load_manifests([path]).servings:
            for number, template in enumerate(
                filter(None, (serving.spec.template, serving.spec.cpu_template))
            ):
                pod = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": f"{serving.metadata.name}-{number}", "namespace": namespace},
                    "spec": template["spec"],
                }
                installed.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_job_is_offline_work() -> None:
    job = yaml.safe_load((EXAMPLES / "offline-job.yaml").read_text())
    pod = job["spec"]["template"]
    assert pod["metadata"]["labels"][labels.CLASS] == labels.CLASS_OFFLINE
    assert pod["spec"]["schedulerName"] == labels.SCHEDULER_NAME
    assert pod["spec"]["priorityClassName"] == labels.OFFLINE_PRIORITY_CLASS


def test_examples_are_planned() -> None:
    fleet = EXAMPLES / "fleets" / "demo.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "ecoserve", "plan", "-f", EXAMPLES, "-f", fleet, "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)["spec"]
    assert {placement["serving"] for placement in plan["placements"]} == {"chat", "code"}
    assert plan["unserved"] == []
