"""What the API server does to offline pods of ours as they are made. Users write a label, nothing else.

One policy gives such a pod the extended resource that binds it to the extender: kube-scheduler then never places it without an
answer. No node has to advertise the resource, and kubelets ignore it.

The other puts a pod that may evict others into the PriorityClass `ecoserve-offline`, which never does. kube-scheduler
asks no extender before it evicts: a pod of any higher priority would clear a host that is refused to it then, again and again. A
class of one's own that never preempts is left in place. Where `ecoserve-offline` isn't installed the policy does nothing.
"""

from typing import Any

from ecoserve.api.admission import asks_the_extender, build_mutating_policy, json_patch
from ecoserve.api.labels import CLASS, CLASS_OFFLINE, GROUP, OFFLINE_PRIORITY_CLASS, OFFLINE_RESOURCE

_RESOURCES = "/spec/containers/0/resources"
_OURS = asks_the_extender("object.spec")
_MAY_EVICT = "object.spec.?preemptionPolicy.orValue('') != 'Never'"
_OF_THE_CLASS = (
    "Object{spec: Object.spec{priorityClassName: params.metadata.name, priority: params.value, "
    "preemptionPolicy: params.preemptionPolicy}}"
)
_THE_CLASS = (
    {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"},
    {"name": OFFLINE_PRIORITY_CLASS, "parameterNotFoundAction": "Allow"},
)


def build_admission_policy() -> list[dict[str, Any]]:
    """Return the policies and their bindings."""
    pods, offline = ("", "pods"), {CLASS: CLASS_OFFLINE}
    return [
        *build_mutating_policy(
            f"offline.{GROUP}",
            pods,
            {"ours": _OURS},
            json_patch(_resource(OFFLINE_RESOURCE)),
            failure_policy="Fail",
            labels=offline,
        ),
        *build_mutating_policy(
            f"offline-priority.{GROUP}",
            pods,
            {"ours": _OURS, "may-evict": _MAY_EVICT},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": _OF_THE_CLASS}},
            failure_policy="Fail",
            labels=offline,
            parameter=_THE_CLASS,
        ),
    ]


def _resource(name: str) -> str:
    """Return the CEL that requests one of a resource, and limits it to one, as extended resources must be."""
    parts = []
    for kind in ("limits", "requests"):
        path, key = f"{_RESOURCES}/{kind}", f"jsonpatch.escapeKey('{name}')"
        missing = (
            f"has(object.spec.containers[0].resources) && has(object.spec.containers[0].resources.{kind})"
        )
        parts += [
            f"({missing} ? [] : [JSONPatch{{op: 'add', path: '{path}', value: dyn({{}})}}])",
            f"[JSONPatch{{op: 'add', path: '{path}/' + {key}, value: '1'}}]",
        ]
    return " + ".join(parts)
