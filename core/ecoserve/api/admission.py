"""MutatingAdmissionPolicies (GA in Kubernetes 1.36) as plain values: what the API server does to work as it is made, no webhook."""

from collections.abc import Mapping
from typing import Any

from ecoserve.api.labels import CARBON_AWARE_RESOURCE, SCHEDULER_NAME

Body = Mapping[str, Any]


def asks_the_extender(spec: str) -> str:
    """Return the CEL that tells whether pods of a spec belong to us.

    Their scheduler is `ecoserve`, or they ask a patched default scheduler for the extender. The spec of a template may
    name the resource among its limits alone: requests are filled in when a pod is made of it.
    """
    amounts = (
        f"'{CARBON_AWARE_RESOURCE}' in c.?resources.?{kind}.orValue({{}})" for kind in ("requests", "limits")
    )
    return (
        f"{spec}.?schedulerName.orValue('') == '{SCHEDULER_NAME}' || "
        f"{spec}.containers.exists(c, {' || '.join(amounts)})"
    )


def build_mutating_policy(
    name: str,
    resource: tuple[str, str],
    conditions: Mapping[str, str],
    mutation: Body,
    *,
    failure_policy: str,
    labels: Mapping[str, str] | None = None,
    parameter: tuple[Body, Body] | None = None,
) -> list[dict[str, Any]]:
    """Return a policy on what is made of a `resource` (API group of version v1, plural), and its binding. It looks again after others have changed that.

    `conditions` are CEL by name, all of which must hold, and `labels` those that objects must bear; `parameter` is the kind of an
    object that the expressions may read, and the reference to it.
    """
    group, plural = resource
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [plural]}
    kind: Body = {"paramKind": parameter[0]} if parameter else {}
    reference: Body = {"paramRef": parameter[1]} if parameter else {}
    selector: Body = {"objectSelector": {"matchLabels": dict(labels)}} if labels else {}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            **kind,
            "matchConstraints": {"resourceRules": [rule], **selector},
            "matchConditions": [{"name": key, "expression": text} for key, text in conditions.items()],
            "failurePolicy": failure_policy,
            "reinvocationPolicy": "IfNeeded",
            "mutations": [mutation],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, **reference},
    }
    return [policy, binding]


def json_patch(expression: str) -> dict[str, Any]:
    """Return the mutation by the JSON patch that a CEL expression makes."""
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
