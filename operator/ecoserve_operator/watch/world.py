"""All that is known of the cluster: tables of records, and the nudges that their changes give the loop.

Kopf's handlers write, the loop reads, both in one event loop. A change of what matters leaves a reason and
wakes the loop, which gathers a burst of changes into one reconciliation.
"""

import asyncio
import time
from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ecoserve.api import HardwareProfile
from ecoserve.api.labels import ZONE
from ecoserve.fleet.nodes import NodeFacts, Resources
from ecoserve_operator.watch.records import (
    DeploymentRecord,
    Key,
    PodRecord,
    Reported,
    ServingRecord,
    ZoneRecord,
)
from ecoserve_operator.watch.scalers import ScalerRecord

RecordT = TypeVar("RecordT")


class Nudges:
    """Reasons to reconcile, gathered until the loop takes them."""

    def __init__(self, debounce_seconds: float) -> None:
        self._debounce_seconds = debounce_seconds
        self._reasons: dict[str, None] = {}
        self._patient: set[str] = set()
        self._event = asyncio.Event()
        self.since = time.monotonic()
        """When the oldest reason not yet taken was given, by the monotonic clock."""

    def give(self, reason: str) -> None:
        """Leave a reason and wake the loop."""
        if not self._reasons:
            self.since = time.monotonic()
        self._reasons[reason] = None
        self._event.set()

    def give_within(self, seconds: float, reason: str) -> None:
        """Leave a reason that has time, for itself and for what comes up like it meanwhile."""
        if seconds <= 0.0:
            self.give(reason)
        elif reason not in self._patient:
            self._patient.add(reason)
            asyncio.get_running_loop().call_later(seconds, self._give_patient, reason)

    def _give_patient(self, reason: str) -> None:
        self._patient.discard(reason)
        self.give(reason)

    async def take(self, timeout_seconds: float) -> tuple[str, ...]:
        """Wait for a reason, gather what comes with it, and return all; none after the timeout."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            self.since = time.monotonic()
        else:
            await asyncio.sleep(self._debounce_seconds)
        reasons = tuple(self._reasons)
        self._reasons.clear()
        self._event.clear()
        return reasons


@dataclass(slots=True)
class World:
    """The tables. `synced` is set once everything there was at the start is in them."""

    nudges: Nudges
    servings: dict[Key, ServingRecord] = field(default_factory=dict)
    zones: dict[Key, ZoneRecord] = field(default_factory=dict)
    profiles: dict[Key, HardwareProfile] = field(default_factory=dict)
    nodes: dict[Key, NodeFacts] = field(default_factory=dict)
    pods: dict[Key, PodRecord] = field(default_factory=dict)
    deployments: dict[Key, DeploymentRecord] = field(default_factory=dict)
    autoscalers: dict[Key, ScalerRecord] = field(default_factory=dict)
    scaled_objects: dict[Key, ScalerRecord] = field(default_factory=dict)
    reported: dict[Key, Reported] = field(default_factory=dict)
    """The statuses of LLMServings (by namespace and name) and GridZones (by None and name)."""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    last_event: float = field(default_factory=time.monotonic)
    """When the watches last said anything, by the monotonic clock."""

    def put(
        self,
        table: dict[Key, RecordT],
        key: Key,
        record: RecordT | None,
        reason: str,
        within_seconds: float = 0.0,
    ) -> None:
        """Store a record, or drop it when it is None; if that changed anything, nudge within so many seconds."""
        before = table.get(key)
        if record is None:
            table.pop(key, None)
        else:
            table[key] = record
        if before != record:
            self.nudges.give_within(within_seconds, reason)

    def nodes_with_foreign_load(self, paused: Container[Key]) -> tuple[NodeFacts, ...]:
        """All nodes, each with what pods request there that no plan may move.

        Foreign are pods of no LLMServing that we know, and those of paused ones.
        """
        foreign: dict[str, list[Resources]] = {}
        for pod in self.pods.values():
            if pod.serving is None or pod.serving not in self.servings or pod.serving in paused:
                foreign.setdefault(pod.node, []).append(pod.requests)
        return tuple(
            replace(node, requested=_sum(foreign[node.name])) if node.name in foreign else node
            for node in self.nodes.values()
        )

    def note_written(self, record: DeploymentRecord) -> None:
        """Take over what the API server answered to a write, unless a watch has told of something later meanwhile."""
        known = self.deployments.get(record.key)
        if known is None or known.uid != record.uid or _version(known) < _version(record):
            self.deployments[record.key] = record

    def note_deleted(self, record: DeploymentRecord) -> None:
        """Forget a Deployment that the API server has deleted for us, before a watch tells so."""
        known = self.deployments.get(record.key)
        if known is not None and known.uid == record.uid:
            del self.deployments[record.key]

    def leaving(self) -> dict[Key, int]:
        """How many pods of each of our Deployments are on nodes that are cordoned, and so about to be drained."""
        cordoned = {node.name for node in self.nodes.values() if not node.schedulable}
        return self.placed(cordoned) if cordoned else {}

    def placed(self, nodes: Container[str] | None = None) -> dict[Key, int]:
        """How many pods of each of our Deployments are on nodes: on these, or on any."""
        found: dict[Key, int] = {}
        for pod in self.pods.values():
            if (nodes is None or pod.node in nodes) and pod.serving is not None and pod.deployment:
                key = (pod.serving[0], pod.deployment)
                found[key] = found.get(key, 0) + 1
        return found

    def cpu_zones(self) -> frozenset[str]:
        """Zones in which nodes without accelerators stand."""
        return frozenset(
            node.labels[ZONE]
            for node in self.nodes.values()
            if ZONE in node.labels and not node.allocatable.gpu
        )

    def deployments_by_owner(self) -> dict[str, dict[Key, DeploymentRecord]]:
        """Our Deployments by the uid of their LLMServing."""
        owned: dict[str, dict[Key, DeploymentRecord]] = {}
        for key, record in self.deployments.items():
            owned.setdefault(record.owner_uid, {})[key] = record
        return owned


def _version(record: DeploymentRecord) -> int:
    """The version as a number, by which versions of one object may be compared (Kubernetes 1.35 guarantees it)."""
    return int(record.resource_version) if record.resource_version.isdigit() else 0


def _sum(amounts: list[Resources]) -> Resources:
    return Resources(
        gpu=sum(each.gpu for each in amounts),
        cpu=sum(each.cpu for each in amounts),
        memory_gib=sum(each.memory_gib for each in amounts),
    )
