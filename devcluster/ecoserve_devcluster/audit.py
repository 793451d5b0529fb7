"""What programs asked of the API server, as its audit log tells: for tests of the rights they have.

Only ServiceAccounts of the namespaces of `ClusterSettings.audited_namespaces` are logged, one line per request. A watch
is logged as it begins, so that one under way is seen too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SERVICE_ACCOUNTS = "system:serviceaccounts"


@dataclass(frozen=True, kw_only=True)
class Access:
    """One request of a ServiceAccount; `resource` holds a subresource after a slash, as rules of RBAC do."""

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    allowed: bool
    status: int

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs that it takes: applying what is not there takes `create` beside `patch`."""
        return (self.verb, "create") if self.verb == "patch" and self.status == 201 else (self.verb,)


def audit_policy(namespaces: Sequence[str]) -> dict[str, Any]:
    """Return the API server's policy: requests of these namespaces' accounts without bodies, and nothing else."""
    groups = [f"{_SERVICE_ACCOUNTS}:{namespace}" for namespace in namespaces]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": groups}, {"level": "None"}],
    }


def read_audit(log: Path) -> Iterator[Access]:
    """Yield the requests for resources of an audit log, oldest first; a line that is being written is left out."""
    for line in log.read_text().splitlines() if log.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        target = event.get("objectRef")
        if target is None:
            continue  # discovery and the like, which all accounts may read
        subresource = target.get("subresource")
        yield Access(
            user=event["user"]["username"],
            verb=event["verb"],
            group=target.get("apiGroup", ""),
            resource=target["resource"] + (f"/{subresource}" if subresource else ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            allowed=event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid",
            status=int(event.get("responseStatus", {}).get("code", 0)),
        )


Right = tuple[str, str, str]
"""API group, resource (with its subresource) and verb."""


def rights_of(rules: Sequence[Mapping[str, Any]]) -> set[Right]:
    """Return each right that rules of RBAC grant, one by one."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rights_used(accesses: Iterable[Access]) -> set[Right]:
    """Return the rights that requests took."""
    return {(access.group, access.resource, verb) for access in accesses for verb in access.verbs}
