"""The chart on a real API server: admitted, rolled out, and with no more rights than it needs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kubernetes.client import (
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SubjectAccessReview,
    V1SubjectAccessReviewSpec,
)

from ecoserve_devcluster import Cluster, KubectlError

ROOT = Path(__file__).parents[3]
NAMESPACE = "ecoserve-system"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:ecoserve-operator"
SCHEDULER = f"system:serviceaccount:{NAMESPACE}:ecoserve-scheduler"


@pytest.mark.parametrize("deployment", ["ecoserve-operator", "ecoserve-scheduler"])
def test_restricted_namespace_admits_the_pods(installed: Cluster, deployment: str) -> None:
    found = json.loads(installed.kubectl("get", "deployment", deployment, "-n", NAMESPACE, "--output=json"))
    assert found["status"]["readyReplicas"] == found["spec"]["replicas"] == 2


def test_restricted_namespace_refuses_other_pods(installed: Cluster) -> None:
    """The proof that the namespace enforces what the chart's pods pass."""
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        installed.kubectl("run", "loose", "--image=pause", "-n", NAMESPACE, "--dry-run=server")


def test_plain_manifests_are_taken(installed: Cluster) -> None:
    path = str(ROOT / "manifests" / "install.yaml")
    installed.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", path)


@pytest.mark.parametrize(
    ("account", "verb", "resource", "namespace", "allowed"),
    [
        (OPERATOR, "watch", "llmservings.ecoserve.dev", "default", True),
        (OPERATOR, "patch", "llmservings.ecoserve.dev/status", "default", True),
        (OPERATOR, "patch", "placementplans.ecoserve.dev", "", True),
        (OPERATOR, "list", "placementplans.ecoserve.dev", "", True),
        (OPERATOR, "delete", "placementplans.ecoserve.dev", "", True),
        (OPERATOR, "watch", "placementplans.ecoserve.dev", "", False),
        (OPERATOR, "create", "deployments.apps", "default", True),
        (OPERATOR, "delete", "deployments.apps", "default", True),
        (OPERATOR, "list", "nodes", "", True),
        (OPERATOR, "get", "configmaps", "default", True),
        (OPERATOR, "create", "leases.coordination.k8s.io", NAMESPACE, True),
        (OPERATOR, "patch", "leases.coordination.k8s.io/ecoserve-operator", NAMESPACE, True),
        (OPERATOR, "patch", "leases.coordination.k8s.io/other", NAMESPACE, False),
        (OPERATOR, "patch", "leases.coordination.k8s.io/kube-scheduler", "kube-system", False),
        (OPERATOR, "patch", "llmservings.ecoserve.dev", "default", False),
        (OPERATOR, "list", "configmaps", "default", False),
        (OPERATOR, "get", "secrets", NAMESPACE, False),
        (OPERATOR, "create", "pods", "default", False),
        (OPERATOR, "patch", "nodes", "", False),
        (OPERATOR, "delete", "llmservings.ecoserve.dev", "default", False),
        (OPERATOR, "create", "clusterrolebindings.rbac.authorization.k8s.io", "", False),
        (SCHEDULER, "watch", "placementplans.ecoserve.dev", "", True),
        (SCHEDULER, "watch", "pods", "default", True),
        (SCHEDULER, "create", "pods/binding", "default", True),
        (SCHEDULER, "patch", "pods/status", "default", True),
        (SCHEDULER, "watch", "persistentvolumes", "", True),
        (SCHEDULER, "create", "events.events.k8s.io", "default", True),
        (SCHEDULER, "update", "leases.coordination.k8s.io/ecoserve-scheduler", NAMESPACE, True),
        (SCHEDULER, "update", "leases.coordination.k8s.io/ecoserve-operator", NAMESPACE, False),
        (SCHEDULER, "get", "configmaps/extension-apiserver-authentication", "kube-system", True),
        (SCHEDULER, "get", "configmaps", "default", False),
        (SCHEDULER, "get", "secrets", NAMESPACE, False),
        (SCHEDULER, "patch", "pods", "default", False),
        (SCHEDULER, "create", "deployments.apps", "default", False),
        (SCHEDULER, "patch", "placementplans.ecoserve.dev", "", False),
        (SCHEDULER, "patch", "nodes", "", False),
    ],
)
def test_rights(
    installed: Cluster, account: str, verb: str, resource: str, namespace: str, allowed: bool
) -> None:
    assert can(installed, account, verb, resource, namespace) is allowed


@pytest.mark.parametrize(
    ("role", "verb", "resource", "allowed"),
    [
        ("view", "get", "llmservings.ecoserve.dev", True),
        ("view", "create", "llmservings.ecoserve.dev", False),
        ("edit", "create", "llmservings.ecoserve.dev", True),
        ("edit", "patch", "llmservings.ecoserve.dev/status", False),
        ("edit", "create", "gridzones.ecoserve.dev", False),
        ("admin", "delete", "llmservings.ecoserve.dev", True),
    ],
)
def test_cluster_roles_cover_servings(
    installed: Cluster, role: str, verb: str, resource: str, allowed: bool
) -> None:
    binding = [f"user-{role}", f"--clusterrole={role}", f"--user=user-{role}", "--namespace=default"]
    manifest = installed.kubectl("create", "rolebinding", *binding, "--dry-run=client", "--output=yaml")
    installed.kubectl("apply", "-f", "-", stdin=manifest)
    assert can(installed, f"user-{role}", verb, resource, "default") is allowed


def test_servings_survive_an_uninstall(installed: Cluster, release: Callable[[Cluster, str], None]) -> None:
    zones = f"--filename={ROOT / 'examples' / 'gridzones.yaml'}"
    installed.kubectl("apply", zones)
    release(installed, "uninstall")
    kept = installed.kubectl("get", "gridzones", "--output=name").split()
    left = installed.kubectl("get", "deployments,serviceaccounts", "-n", NAMESPACE, "--output=name").split()
    release(installed, "install")
    installed.kubectl("delete", zones)
    assert "gridzone.ecoserve.dev/us-west" in kept
    assert left == ["serviceaccount/default"]


def can(cluster: Cluster, account: str, verb: str, resource: str, namespace: str) -> bool:
    """Ask the API server's authorizer; `resource` is plural.group, then /subresource or /name."""
    kind, _, rest = resource.partition("/")
    plural, _, group = kind.partition(".")
    subresource = rest if rest in {"status", "binding"} else ""
    attributes = V1ResourceAttributes(
        verb=verb,
        group=group,
        resource=plural,
        subresource=subresource,
        name="" if subresource else rest,
        namespace=namespace,
    )
    spec = V1SubjectAccessReviewSpec(
        user=account, groups=["system:authenticated"], resource_attributes=attributes
    )
    with cluster.client() as connection:
        review = AuthorizationV1Api(connection).create_subject_access_review(V1SubjectAccessReview(spec=spec))
    return bool(review.status.allowed)
