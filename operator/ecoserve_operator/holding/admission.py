"""What the API server does to offline work with a deadline as it is made (MutatingAdmissionPolicy, 1.36, no webhook).

A Job begins suspended, a pod that nothing owns begins with a scheduling gate. What counts is offline, asks for the extender (of
our scheduler, or of a patched default scheduler), and carries a deadline: a Job on itself or on its pods. What is suspended or gated already, or that a queue of Kueue will
start, is left alone: somebody else lets it go. Other policies and webhooks may give a Job its class, scheduler or deadline: it is looked at again after
them. The label tells the operator what it holds, so that it never starts a
Job that a person has suspended. Pods of a Job, a Deployment or anything else that owns them are not gated.
"""

from typing import Any

from ecoserve.api.admission import asks_the_extender, build_mutating_policy, json_patch
from ecoserve.api.labels import CLASS, CLASS_OFFLINE, DEADLINE, GROUP, HELD

NAME = f"deadline.{GROUP}"
PODS_NAME = f"pod-deadline.{GROUP}"

_OFFLINE = f"labels[?'{CLASS}'].orValue('') == '{CLASS_OFFLINE}'"
_HAS_A_DEADLINE = f"annotations[?'{DEADLINE}'].hasValue()"
_NOT_QUEUED = "!object.metadata.?labels[?'kueue.x-k8s.io/queue-name'].hasValue()"
_POD = "object.spec.template.?metadata"
_JOB_CONDITIONS = {
    "offline": f"{_POD}.?{_OFFLINE}",
    "ours": asks_the_extender("object.spec.template.spec"),
    "has-a-deadline": f"object.metadata.?{_HAS_A_DEADLINE} || {_POD}.?{_HAS_A_DEADLINE}",
    "not-suspended": "!object.spec.?suspend.orValue(false)",
    "not-queued": _NOT_QUEUED,
}
_POD_CONDITIONS = {
    "offline": f"object.metadata.?{_OFFLINE}",
    "ours": asks_the_extender("object.spec"),
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
    jobs = json_patch(f"{_SUSPEND} + {_LABEL}")
    pods = json_patch(f"{_GATE} + {_LABEL}")
    return [
        *build_mutating_policy(NAME, ("batch", "jobs"), _JOB_CONDITIONS, jobs, failure_policy="Ignore"),
        *build_mutating_policy(PODS_NAME, ("", "pods"), _POD_CONDITIONS, pods, failure_policy="Ignore"),
    ]
