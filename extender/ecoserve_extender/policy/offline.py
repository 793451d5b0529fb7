"""Offline pods: only idle CPU nodes, and never so many that online load would find no room.

A node is idle where online work takes at most the busy share of its CPU and of its memory: the highest measured use of late, or
requests where nothing is measured; or what the plan puts on a node of that pool, where that is more. With the pod, and with every offline pod that may be about to land, the
headroom share stays free. A node on which tasks wait for CPU or memory bandwidth gets none. Replicas that the plan itself put on
CPU cores of a pool are exempt on that pool's nodes, GPU hosts included: the plan weighed them against the online
load it placed there, and kube-scheduler's own fit still holds. No offline pod ever gets an accelerator.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ecoserve_extender.cache.names import Rows
from ecoserve_extender.cache.records import PendingPod
from ecoserve_extender.cache.table import NodeTable
from ecoserve_extender.measured.use import FRESH_SECONDS
from ecoserve_extender.policy.verdict import Rejection
from ecoserve_extender.settings import Thresholds

REASONS = tuple(Rejection)
"""What the numbers that `offline_rejections` gives stand for."""

ALLOWED = len(REASONS)


class LoadFrom(StrEnum):
    """What a node's online load was taken from; the value is what /explain says."""

    PLAN = "plan"
    MEASURED = "highest measured use of the last 15 minutes"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class OnlineLoad:
    """What online work takes of each node, or soon may."""

    millicores: NDArray[np.int64]
    bytes: NDArray[np.int64]
    measured: NDArray[np.bool_]
    planned: NDArray[np.bool_]

    def counts(self) -> dict[LoadFrom, int]:
        """Return how many nodes' load was taken from where."""
        planned = int(self.planned.sum())
        measured = int((self.measured & ~self.planned).sum())
        return {
            LoadFrom.PLAN: planned,
            LoadFrom.MEASURED: measured,
            LoadFrom.REQUESTS: len(self.planned) - planned - measured,
        }


def online_load(rows: Rows, table: NodeTable, now: float) -> OnlineLoad:
    """Return the load to keep clear of; `now` is in the monotonic seconds in which samples were taken."""
    column = table.columns
    measured = column["measured_at"][rows] >= now - FRESH_SECONDS
    millicores = np.where(measured, column["measured_millicores"][rows], column["online_millicores"][rows])
    memory = np.where(measured, column["measured_bytes"][rows], column["online_bytes"][rows])
    planned_millicores, planned_bytes = column["planned_millicores"][rows], column["planned_bytes"][rows]
    return OnlineLoad(
        millicores=np.maximum(millicores, planned_millicores),
        bytes=np.maximum(memory, planned_bytes),
        measured=measured,
        planned=(planned_millicores > millicores) | (planned_bytes > memory),
    )


def wants_accelerator(pod: PendingPod) -> bool:
    """Tell whether the pod asks for a device, as an extended resource or through a resource claim."""
    return pod.requests.accelerators > 0 or pod.claims_devices


def offline_rejections(
    pod: PendingPod,
    rows: Rows,
    table: NodeTable,
    online: OnlineLoad,
    thresholds: Thresholds,
    planned_here: NDArray[np.bool_] | None = None,
) -> NDArray[np.intp]:
    """Return for each row why an offline pod may not use that node, as an index of REASONS; ALLOWED where it may.

    `online` is the load of these rows; `planned_here` marks nodes on whose cores the plan put this very pod.
    """
    column = table.columns
    millicores, memory = column["offered_millicores"][rows], column["offered_bytes"][rows]
    taken = column["offline_millicores"][rows] + column["reserved_millicores"][rows] + pod.requests.millicores
    taken_bytes = column["offline_bytes"][rows] + column["reserved_bytes"][rows] + pod.requests.memory_bytes
    busy, usable = thresholds.busy_share, 1 - thresholds.headroom_share
    exempt = np.zeros(len(rows), np.bool_) if planned_here is None else planned_here
    verdicts = (
        (~column["known"][rows], Rejection.UNKNOWN_NODE),
        (np.full(len(rows), wants_accelerator(pod)), Rejection.WANTS_ACCELERATOR),
        (exempt, None),
        (column["has_accelerators"][rows], Rejection.HAS_ACCELERATORS),
        (online.measured & (column["stalled_share"][rows] > thresholds.stalled_share), Rejection.PRESSURE),
        ((online.millicores > busy * millicores) | (online.bytes > busy * memory), Rejection.BUSY),
        (online.millicores + taken > usable * millicores, Rejection.CPU_HEADROOM),
        (online.bytes + taken_bytes > usable * memory, Rejection.MEMORY_HEADROOM),
    )
    return np.select(
        [holds for holds, _ in verdicts],
        [ALLOWED if reason is None else REASONS.index(reason) for _, reason in verdicts],
        ALLOWED,
    )
