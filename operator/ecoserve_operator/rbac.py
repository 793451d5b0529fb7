"""The rights the operator needs: exactly the verbs it uses, from which the chart's roles are made.

Watching takes `list` and `watch` only, applying `patch` (and `create`, as server-side apply creates what is
missing). ConfigMaps are read by name (`get`), never listed. Of Secrets only the one with the accounts at providers of
grid intensity, in the operator's own namespace.

What is written stands in the servings' namespaces, so that rules can give neither names nor namespaces. An admission
policy does what they can't: of the kinds that the operator makes it lets its account write only objects that bear its
label, before and after, and of pods and Jobs change only those that are held for it.
"""

from typing import Any, Final

from ecoserve.api.labels import FIELD_MANAGER, GROUP, HELD, MANAGED_BY
from ecoserve_operator.kube import INFERENCE_POOL
from ecoserve_operator.signals.providers.keys import KEYS_SECRET

WRITES_NAME: Final = f"operator-writes.{GROUP}"
ACCOUNT: Final = "system:serviceaccount:ecoserve-system:ecoserve-operator"
"""The operator's account where the chart is installed as ecoserve in ecoserve-system."""

_MADE = (
    ("", "v1", "configmaps"),
    ("", "v1", "services"),
    ("apps", "v1", "deployments"),
    ("policy", "v1", "poddisruptionbudgets"),
    (INFERENCE_POOL.group, "v1", INFERENCE_POOL.plural),
)
_CHANGED = (("", "v1", "pods"), ("batch", "v1", "jobs"))


def build_operator_rules() -> list[dict[str, Any]]:
    """Rules of the ClusterRole."""
    return [
        _rule([GROUP], ["llmservings", "gridzones", "hardwareprofiles"], ["list", "watch"]),
        _rule([GROUP], ["llmservings/status", "gridzones/status", "placementplans/status"], ["patch"]),
        _rule([GROUP], ["placementplans"], ["list", "create", "patch", "delete"]),
        _rule([""], ["nodes"], ["list", "watch"]),
        _rule([""], ["pods"], ["list", "watch", "patch"]),
        _rule([""], ["configmaps"], ["get", "create", "patch"]),
        _rule([""], ["services"], ["create", "patch"]),
        _rule(["policy"], ["poddisruptionbudgets"], ["create", "patch"]),
        _rule([""], ["events"], ["create"]),
        _rule(["batch"], ["jobs"], ["list", "patch"]),
        _rule(["apps"], ["deployments"], ["get", "list", "watch", "create", "patch", "delete"]),
        _rule(["autoscaling"], ["horizontalpodautoscalers"], ["list", "watch"]),
        # Kinds of KEDA and of the Gateway API; these rules grant nothing where the CRDs are not installed.
        _rule(["gateway.networking.k8s.io"], ["httproutes"], ["get", "patch"]),
        _rule(["keda.sh"], ["scaledobjects"], ["list"]),
    ]


def build_inference_pool_rules() -> list[dict[str, Any]]:
    """Rules of the ClusterRole where servings may name endpoint pickers: InferencePools are applied, never read."""
    return [_rule([INFERENCE_POOL.group], [INFERENCE_POOL.plural], ["create", "patch"])]


def build_operator_lease_rules() -> list[dict[str, Any]]:
    """Rules of the Role in the operator's own namespace: its Lease and its keys."""
    return [
        _rule(["coordination.k8s.io"], ["leases"], ["create"]),
        {
            **_rule(["coordination.k8s.io"], ["leases"], ["get", "patch"]),
            "resourceNames": ["ecoserve-operator"],
        },
        {**_rule([""], ["secrets"], ["get"]), "resourceNames": [KEYS_SECRET]},
    ]


def build_write_policy(account: str = ACCOUNT) -> list[dict[str, Any]]:
    """Return the policies, and their bindings, that bind the operator's account to what is its own."""
    ours = f".metadata.?labels[?'{MANAGED_BY}'].orValue('') == '{FIELD_MANAGER}'"
    made = (
        f"request.operation == 'DELETE' || object{ours}",
        f"request.operation == 'CREATE' || oldObject{ours}",
    )
    held = (f"oldObject.metadata.?labels[?'{HELD}'].orValue('') == 'true'",)
    return [
        *_policy(
            WRITES_NAME, account, _MADE, ("CREATE", "UPDATE", "DELETE"), made, f"{MANAGED_BY}={FIELD_MANAGER}"
        ),
        *_policy(f"held-{WRITES_NAME}", account, _CHANGED, ("UPDATE",), held, f"{HELD}=true"),
    ]


def _policy(
    name: str,
    account: str,
    kinds: tuple[tuple[str, str, str], ...],
    operations: tuple[str, ...],
    demands: tuple[str, ...],
    label: str,
) -> list[dict[str, Any]]:
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [group],
                        "apiVersions": [version],
                        "operations": list(operations),
                        "resources": [resource],
                    }
                    for group, version, resource in kinds
                ]
            },
            "matchConditions": [
                {"name": "is-the-operator", "expression": f"request.userInfo.username == '{account}'"}
            ],
            "validations": [
                {
                    "expression": demand,
                    "message": f"the operator writes only what bears the label {label}",
                    "reason": "Forbidden",
                }
                for demand in demands
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return [policy, binding]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}
