"""What the API server does to offline work with a deadline as it is made (MutatingAdmissionPolicy, 1.36, no webhook).

A Job begins suspended, a pod that nothing owns begins with a scheduling gate. What counts is offline, ours by scheduler
name, and carries a deadline: a Job on itself or on its pods. What is suspended or gated already, or that a queue of Kueue will
start, is left alone: somebody else lets it go. The label tells the operator what it holds, so that it never starts a
Job that a person has suspended. Pods of a Job, a Deployment or anything else that owns them are not gated.
"""

from collections.abc import Mapping
from typing import Any

from ecoserve.api.labels import CLASS, CLASS_OFFLINE, DEADLINE, GROUP, HELD, SCHEDULER_NAME

NAME = f"deadline.{GROUP}"
PODS_NAME = f"pod-deadline.{GROUP}"

_OFFLINE = f"labels[?'{CLASS}'].orValue('') == '{CLASS_OFFLINE}'"
_OURS = f"?schedulerName.orValue('') == '{SCHEDULER_NAME}'"
_HAS_A_DEADLINE = f"annotations[?'{DEADLINE}'].hasValue()"
_NOT_QUEUED = "!object.metadata.?labels[?'kueue.x-k8s.io/queue-name'].hasValue()"
_POD = "object.spec.template.?metadata"
_JOB_CONDITIONS = {
    "offline": f"{_POD}.?{_OFFLINE}",
    "ours": f"object.spec.template.spec.{_OURS}",
    "has-a-deadline": f"object.metadata.?{_HAS_A_DEADLINE} || {_POD}.?{_HAS_A_DEADLINE}",
    "not-suspended": "!object.spec.?suspend.orValue(false)",
    "not-queued": _NOT_QUEUED,
}
_POD_CONDITIONS = {
    "offline": f"object.metadata.?{_OFFLINE}",
    "ours": f"object.spec.{_OURS}",
    "has-a-deadline": f"object.metadata.?{_HAS_A_DEADLINE}",
    "not-owned": "object.metadata.?ownerReferences.orValue([]).size() == 0",
    "not-gated": "object.spec.?schedulingGates.orValue([]).size() == 0",
    "not-bound": "object.spec.?nodeName.orValue('') == ''",
    "not-queued": _NOT_QUEUED,
}
_LABEL = (
    "(has(object.metadata.labels) ? [] : [JSONPatch{op: 'add', path: '/metadata/labels', value: dyn({})}])"
    f" + [JSONPatch{{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('{HELD}'), value: 'true'}}]"
)
_SUSPEND = "[JSONPatch{op: 'add', path: '/spec/suspend', value: true}]"
_GATE = f"[JSONPatch{{op: 'add', path: '/spec/schedulingGates', value: dyn([{{'name': '{HELD}'}}])}}]"


def build_holding_policy() -> list[dict[str, Any]]:
    """Return the policies and their bindings. Where one fails, work is made as it is, and simply starts at once."""
    return [
        *_policy(NAME, "batch", "jobs", _JOB_CONDITIONS, f"{_SUSPEND} + {_LABEL}"),
        *_policy(PODS_NAME, "", "pods", _POD_CONDITIONS, f"{_GATE} + {_LABEL}"),
    ]


def _policy(
    name: str, group: str, resource: str, conditions: Mapping[str, str], patch: str
) -> list[dict[str, Any]]:
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": key, "expression": text} for key, text in conditions.items()],
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    return [policy, binding]
