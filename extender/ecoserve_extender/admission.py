"""What the API server does to offline pods as they are made: a MutatingAdmissionPolicy (GA in Kubernetes 1.36), no webhook.

A pod of class offline that belongs to us (its scheduler is `ecoserve`, or it asks a patched default scheduler for the
extender) gets the extended resource that binds it to the extender: kube-scheduler then never places it without an
answer. No node has to advertise the resource, and kubelets ignore it. Users write a label, nothing else.
"""

from typing import Any

from ecoserve.api.labels import (
    CARBON_AWARE_RESOURCE,
    CLASS,
    CLASS_OFFLINE,
    GROUP,
    OFFLINE_RESOURCE,
    SCHEDULER_NAME,
)

NAME = f"offline.{GROUP}"
_RESOURCES = "/spec/containers/0/resources"


def build_admission_policy() -> list[dict[str, Any]]:
    """Return the policy and its binding."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
                "objectSelector": {"matchLabels": {CLASS: CLASS_OFFLINE}},
            },
            "matchConditions": [{"name": "ours", "expression": _OURS}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": _patch(OFFLINE_RESOURCE)}}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME},
    }
    return [policy, binding]


_OURS = (
    f"object.spec.?schedulerName.orValue('') == '{SCHEDULER_NAME}' || "
    "object.spec.containers.exists(c, "
    f"'{CARBON_AWARE_RESOURCE}' in c.?resources.?requests.orValue({{}}))"
)


def _patch(resource: str) -> str:
    """Return the CEL that requests one of a resource, and limits it to one, as extended resources must be."""
    parts = []
    for kind in ("limits", "requests"):
        path, key = f"{_RESOURCES}/{kind}", f"jsonpatch.escapeKey('{resource}')"
        missing = (
            f"has(object.spec.containers[0].resources) && has(object.spec.containers[0].resources.{kind})"
        )
        parts += [
            f"({missing} ? [] : [JSONPatch{{op: 'add', path: '{path}', value: dyn({{}})}}])",
            f"[JSONPatch{{op: 'add', path: '{path}/' + {key}, value: '1'}}]",
        ]
    return " + ".join(parts)
