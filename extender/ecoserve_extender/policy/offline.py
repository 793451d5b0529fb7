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

    amounts: NDArray[np.int64]
    """Millicores and bytes of memory, by node."""
    measured: NDArray[np.bool_]
    planned: NDArray[np.bool_]

    def counts(self) -> dict[LoadFrom, int]:
        """Return how many nodes' load was taken from where."""
        planned = int(np.count_nonzero(self.planned))
        measured = int(np.count_nonzero(self.measured & ~self.planned))
        return {
            LoadFrom.PLAN: planned,
            LoadFrom.MEASURED: measured,
            LoadFrom.REQUESTS: len(self.planned) - planned - measured,
        }


def online_load(rows: Rows, table: NodeTable, now: float) -> OnlineLoad:
    """Return the load to keep clear of; `now` is in the monotonic seconds in which samples were taken."""
    column = table.columns
    measured = column["measured_at"].take(rows) >= now - FRESH_SECONDS
    amounts = column["online"].take(rows, axis=0)
    if measured.any():
        amounts = np.where(measured[:, None], column["measured"].take(rows, axis=0), amounts)
    planned = column["planned"].take(rows, axis=0)
    more_planned = planned > amounts
    return OnlineLoad(np.maximum(amounts, planned), measured, more_planned[:, 0] | more_planned[:, 1])


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
    offered = column["offered"].take(rows, axis=0)
    taken = (
        column["offline"].take(rows, axis=0) + column["reserved"].take(rows, axis=0) + pod.requests.amounts
    )
    busy = online.amounts > thresholds.busy_share * offered
    crowded = online.amounts + taken > (1 - thresholds.headroom_share) * offered
    pressed = online.measured & (column["stalled_share"].take(rows) > thresholds.stalled_share)
    verdicts = np.full(len(rows), ALLOWED)
    for holds, verdict in (  # the last that holds counts
        (crowded[:, 1], Rejection.MEMORY_HEADROOM),
        (crowded[:, 0], Rejection.CPU_HEADROOM),
        (busy[:, 0] | busy[:, 1], Rejection.BUSY),
        (pressed, Rejection.PRESSURE),
        (column["has_accelerators"].take(rows), Rejection.HAS_ACCELERATORS),
        (False if planned_here is None else planned_here, None),
        (wants_accelerator(pod), Rejection.WANTS_ACCELERATOR),
        (~column["known"].take(rows), Rejection.UNKNOWN_NODE),
    ):
        np.copyto(verdicts, ALLOWED if verdict is None else REASONS.index(verdict), where=holds)
    return verdicts
