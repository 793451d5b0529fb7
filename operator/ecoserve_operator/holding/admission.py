"""What the API server does to Jobs with a deadline as they are made: they begin suspended (MutatingAdmissionPolicy, 1.36).

A Job counts whose pods are offline and ours by scheduler name, and that carries a deadline on itself or on its pods. One that
is suspended already, or that a queue of Kueue will start, is left alone: somebody else lets it go. The label tells the
operator which Jobs it holds, so that it never starts one that a person has suspended.
"""

from typing import Any

from ecoserve.api.labels import CLASS, CLASS_OFFLINE, DEADLINE, GROUP, HELD, SCHEDULER_NAME

NAME = f"deadline.{GROUP}"

_POD = "object.spec.template.?metadata"
_CONDITIONS = {
    "offline": f"{_POD}.?labels[?'{CLASS}'].orValue('') == '{CLASS_OFFLINE}'",
    "ours": f"object.spec.template.spec.?schedulerName.orValue('') == '{SCHEDULER_NAME}'",
    "has-a-deadline": (
        f"object.metadata.?annotations[?'{DEADLINE}'].hasValue() || {_POD}.?annotations[?'{DEADLINE}'].hasValue()"
    ),
    "not-suspended": "!object.spec.?suspend.orValue(false)",
    "not-queued": "!object.metadata.?labels[?'kueue.x-k8s.io/queue-name'].hasValue()",
}
_PATCH = (
    "[JSONPatch{op: 'add', path: '/spec/suspend', value: true}]"
    " + (has(object.metadata.labels) ? [] : [JSONPatch{op: 'add', path: '/metadata/labels', value: dyn({})}])"
    f" + [JSONPatch{{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('{HELD}'), value: 'true'}}]"
)


def build_holding_policy() -> list[dict[str, Any]]:
    """Return the policy and its binding. Where it fails a Job is made as it is, and simply starts at once."""
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": name, "expression": text} for name, text in _CONDITIONS.items()],
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": _PATCH}}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME},
    }
    return [policy, binding]
