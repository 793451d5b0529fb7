"""Taints of nodes and tolerations of pod templates, by the rules of the Kubernetes scheduler."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_KEEPING_OFF = ("NoSchedule", "NoExecute")
_CONDITIONS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Prefixes of taints that Kubernetes sets for a condition of the node, such as memory pressure."""


@dataclass(frozen=True, slots=True, order=True)
class Taint:
    """A taint that keeps pods off a node; those that only advise are never one."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    def __str__(self) -> str:
        """As kubectl writes it."""
        return f"{self.key}{'=' if self.value else ''}{self.value}:{self.effect}"

    @property
    def is_condition(self) -> bool:
        """Whether Kubernetes set it for a condition of the node, which passes."""
        return self.key.startswith(_CONDITIONS)


@dataclass(frozen=True, slots=True)
class Toleration:
    """What a pod tolerates: an empty key means every taint, an empty effect every effect."""

    key: str = ""
    exists: bool = False
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        """Tell whether it lets a pod onto a node with the taint."""
        if self.effect not in ("", taint.effect):
            return False
        if not self.key:
            return self.exists
        return self.key == taint.key and (self.exists or self.value == taint.value)


def taints_of(taints: object) -> tuple[Taint, ...]:
    """Read `spec.taints` of a Node, sorted; raises ValueError for anything but a list of taints."""
    return tuple(
        sorted(
            Taint(str(item["key"]), str(item.get("value") or ""), item["effect"])
            for item in _mappings(taints)
            if _stated(item, "key") and _stated(item, "effect") in _KEEPING_OFF
        )
    )


def tolerations_of(template: Mapping[str, Any] | None) -> tuple[Toleration, ...]:
    """Read the tolerations of a pod template; those for so many seconds only are none, and neither are misshapen ones."""
    spec = (template or {}).get("spec")
    try:
        items = _mappings(spec.get("tolerations")) if isinstance(spec, Mapping) else []
    except ValueError:
        return ()  # the API server refuses the pod, and says why
    return tuple(
        Toleration(
            key=str(item.get("key") or ""),
            exists=item.get("operator") == "Exists",
            value=str(item.get("value") or ""),
            effect=str(item.get("effect") or ""),
        )
        for item in items
        if item.get("tolerationSeconds") is None
    )


def not_tolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration]) -> tuple[Taint, ...]:
    """Return the taints that keep a pod with these tolerations off."""
    given = tuple(tolerations)
    return tuple(taint for taint in taints if not any(toleration.covers(taint) for toleration in given))


def _mappings(found: object) -> list[Mapping[str, Any]]:
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise ValueError(found)
    return found


def _stated(item: Mapping[str, Any], field: str) -> str:
    value = item.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(item)
    return value
