"""A cluster that has the four kinds, and a way to ask its API server about an object."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
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
