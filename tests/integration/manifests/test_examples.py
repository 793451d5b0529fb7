"""The examples: taken by the API server as they stand, read without a cluster, and planned."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoserve.api import labels
from ecoserve.api.manifests import load_manifests
from ecoserve_devcluster import Cluster
from ecoserve_operator.acting.template import check_templates, fill, values_of

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
KIND = ROOT / "kind-config.yaml"
ENGINES = EXAMPLES / "engines"
MANIFESTS = [
    *sorted(EXAMPLES.glob("*.yaml")),
    *sorted(ENGINES.glob("*.yaml")),
    EXAMPLES / "kind" / "serving.yaml",
]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_api_server_takes_it(installed: Cluster, path: Path) -> None:
    installed.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", str(path))


def test_all_are_read_without_a_cluster() -> None:
    manifests = load_manifests([EXAMPLES])
    assert {serving.metadata.name for serving in manifests.servings} == {"assistant", "chat", "code"}
    assert {"us-west", "us-east", "california"} <= {zone.metadata.name for zone in manifests.grid_zones}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*serving*.yaml")), ids=lambda path: path.stem)
def test_templates_hold_their_placeholders(path: Path) -> None:
    for serving in load_manifests([path]).servings:
        for template in (serving.spec.template, serving.spec.cpu_template):
            if template is not None:
                text = yaml.safe_dump(template)
                assert "${model}" in text
                assert "${tensorParallelSize}" in text


@pytest.mark.parametrize(
    ("engine", "role", "devices", "cores", "flags"),
    [
        ("sglang-disaggregated", "prefill", 2, 0.0, {"--tp-size=2", "--disaggregation-mode=prefill"}),
        ("sglang-disaggregated", "both", 1, 0.0, {"--disaggregation-mode=null", "--port=30000"}),
        ("llama-cpp", "both", 0, 31.7, {"--threads=31", "--alias=meta-llama/Llama-3.1-8B-Instruct"}),
        ("llama-cpp", "both", 1, 0.0, {"--n-gpu-layers=999", "--port=8000"}),
    ],
)
def test_engines_are_told_what_the_plan_decides(
    engine: str, role: str, devices: int, cores: float, flags: set[str]
) -> None:
    (serving,) = load_manifests([ENGINES / f"{engine}.yaml"]).servings
    check_templates(serving.spec)
    template = serving.spec.template if devices else serving.spec.cpu_template
    filled = fill(template, values_of(serving.spec, role, devices, cores))
    assert flags <= set(filled["spec"]["containers"][0]["args"])
    assert "${" not in json.dumps(filled)


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


def plan(*paths: Path) -> dict[str, Any]:
    files = [argument for path in paths for argument in ("-f", path)]
    done = subprocess.run(
        [sys.executable, "-m", "ecoserve", "plan", *files, "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    planned: dict[str, Any] = json.loads(done.stdout)["spec"]
    return planned


def test_examples_are_planned() -> None:
    planned = plan(EXAMPLES, EXAMPLES / "fleets" / "demo.yaml")
    assert {placement["serving"] for placement in planned["placements"]} == {"assistant", "chat", "code"}
    assert planned["unserved"] == []


def test_kind_serving_fits_a_laptop(tmp_path: Path) -> None:
    """On kind-config.yaml's workers as a small machine makes them, each with one pretended GPU where labelled so."""
    workers = [node["labels"] for node in yaml.safe_load(KIND.read_text())["nodes"] if "labels" in node]
    nodes = [
        {
            "sku": worker[labels.INSTANCE_TYPE],
            "count": 1,
            "zone": worker[labels.ZONE],
            "installed": worker[labels.INSTALLED],
            "allocatable": {
                "cpu": "4",
                "memory": "8Gi",
                "pods": 110,
                **({labels.GPU_RESOURCE: 1} if labels.GPU_PRODUCT in worker else {}),
            },
        }
        for worker in workers
    ]
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(yaml.safe_dump({"nodes": nodes}))
    planned = plan(EXAMPLES / "gridzones.yaml", EXAMPLES / "kind" / "serving.yaml", fleet)
    (placement,) = planned["placements"]
    assert (placement["serving"], placement["replicas"], placement["tensorParallel"]) == ("small", 1, 1)
    assert planned["unserved"] == []
