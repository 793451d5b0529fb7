"""Offline pods: only idle CPU nodes, and never so many that online load would find no room.

A node is idle where online work takes at most the busy share of its CPU and of its memory: by its highest measured use of
late, or by requests where nothing is measured. With the pod, and with every offline pod that may be about to land, the
headroom share stays free. A node on which tasks wait for CPU or memory bandwidth gets none. Replicas that the plan itself put on
CPU cores of a pool are exempt on that pool's nodes, GPU hosts included: the plan weighed them against the online
load it placed there, and kube-scheduler's own fit still holds. No offline pod ever gets an accelerator.
"""

from ecoserve_extender.cache.records import NodeRecord, PendingPod, Requests
from ecoserve_extender.cache.state import NodeUsage
from ecoserve_extender.policy.verdict import Rejection
from ecoserve_extender.settings import Thresholds


def wants_accelerator(pod: PendingPod) -> bool:
    """Tell whether the pod asks for a device, as an extended resource or through a resource claim."""
    return pod.requests.accelerators > 0 or pod.claims_devices


def offline_rejection(
    pod: PendingPod,
    node: NodeRecord,
    usage: NodeUsage,
    thresholds: Thresholds,
    *,
    planned_here: bool,
    measured: Requests | None = None,
    stalled_share: float = 0.0,
) -> Rejection | None:
    """Return why an offline pod may not use a node; None where it may. `measured` is None where nothing is known."""
    if wants_accelerator(pod):
        return Rejection.WANTS_ACCELERATOR
    if planned_here:
        return None
    if node.has_accelerators:
        return Rejection.HAS_ACCELERATORS
    offered, offline = node.allocatable, usage.offline
    online = usage.online if measured is None else measured
    if stalled_share > thresholds.stalled_share:
        return Rejection.PRESSURE
    busy = thresholds.busy_share
    if online.millicores > busy * offered.millicores or online.memory_bytes > busy * offered.memory_bytes:
        return Rejection.BUSY
    usable = 1 - thresholds.headroom_share
    millicores = online.millicores + offline.millicores + usage.reserved_millicores + pod.requests.millicores
    if millicores > usable * offered.millicores:
        return Rejection.CPU_HEADROOM
    memory = (
        online.memory_bytes + offline.memory_bytes + usage.reserved_memory_bytes + pod.requests.memory_bytes
    )
    if memory > usable * offered.memory_bytes:
        return Rejection.MEMORY_HEADROOM
    return None
