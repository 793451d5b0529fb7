"""A cluster that has the four kinds, good objects of them, and a way to ask its API server about an object."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import CustomObjectsApi
from kubernetes.client.exceptions import ApiException

from ecoserve_devcluster import Cluster

CRDS = Path(__file__).parents[3] / "manifests" / "crds"

PLURALS = {
    "LLMServing": "llmservings",
    "GridZone": "gridzones",
    "HardwareProfile": "hardwareprofiles",
    "PlacementPlan": "placementplans",
}

Manifest = dict[str, Any]

SERVING: Manifest = yaml.safe_load("""
apiVersion: ecoserve.dev/v1alpha1
kind: LLMServing
metadata: {name: chat, namespace: default}
spec:
  model: {name: meta-llama/Llama-3.1-8B-Instruct, precision: bf16}
  online:
    slo: {ttft: 500ms, tpot: 50ms, percentile: 90}
    load: {requestsPerSecond: 5.5, lengths: azure-conversation-2023}
  offline:
    deadline: 24h
    load: {requestsPerSecond: 2.0, lengths: azure-code-2023}
  placement: {nodeSelector: {}, minReplicas: 1, maxReplicas: 64, roles: [both, prefill, decode], cpu: true}
  policy: {mode: Enforce, objective: carbon}
  template:
    metadata: {labels: {team: chat}}
    spec:
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.11.0
          args: ["--model=${model}", "--tensor-parallel-size=${tensorParallelSize}", "--role=${role}"]
""")

ZONE: Manifest = yaml.safe_load("""
apiVersion: ecoserve.dev/v1alpha1
kind: GridZone
metadata: {name: us-west}
spec:
  zones: [us-west-2a]
  intensity: {gramsPerKilowattHour: 261}
""")

PROFILE: Manifest = yaml.safe_load("""
apiVersion: ecoserve.dev/v1alpha1
kind: HardwareProfile
metadata: {name: lab}
spec:
  matchLabels: {lab: "yes"}
  base: p5.48xlarge
""")


@pytest.fixture(scope="session")
def good() -> Callable[..., Manifest]:
    """An object that is accepted, of one of three kinds, with values set by dotted path, or removed where `None`."""
    manifests = {"LLMServing": SERVING, "GridZone": ZONE, "HardwareProfile": PROFILE}

    def good(kind: str, changes: Manifest | None = None) -> Manifest:
        made = copy.deepcopy(manifests[kind])
        for path, value in (changes or {}).items():
            *parents, last = path.split(".")
            target = made
            for parent in parents:
                target = target.setdefault(parent, {})
            if value is None:
                del target[last]
            else:
                target[last] = value
        return made

    return good


@pytest.fixture(scope="session")
def api(devcluster: Cluster) -> Cluster:
    devcluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    devcluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    return devcluster


@pytest.fixture(scope="session")
def submit(api: Cluster) -> Iterator[Callable[[Manifest], Manifest]]:
    """Submit an object as a strict dry run; return it as the API server would store it."""
    with api.client() as connection:
        objects = CustomObjectsApi(connection)

        def submit(manifest: Manifest) -> Manifest:
            group, version = manifest["apiVersion"].split("/")
            where = {
                "group": group,
                "version": version,
                "plural": PLURALS[manifest["kind"]],
                "body": manifest,
            }
            asked = {"dry_run": "All", "field_validation": "Strict"}
            namespace = manifest["metadata"].get("namespace")
            stored: Manifest = (
                objects.create_namespaced_custom_object(namespace=namespace, **where, **asked)
                if namespace
                else objects.create_cluster_custom_object(**where, **asked)
            )
            return stored

        yield submit


@pytest.fixture(scope="session")
def refusal(submit: Callable[[Manifest], Manifest]) -> Callable[[Manifest], str]:
    """The sentence with which the API server refuses an object; empty if it takes it."""

    def refusal(manifest: Manifest) -> str:
        try:
            submit(manifest)
        except ApiException as error:
            if error.status not in (400, 422):
                raise
            return str(json.loads(error.body)["message"])
        return ""

    return refusal


@pytest.fixture
def namespace(api: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name.replace("_", "-")[:60]
    yield api.create_namespace(name)
    api.kubectl("delete", "namespace", name, "--wait=false")
