"""Why a node was refused, and why a score is less than the policy promises.

Each text is constant: kube-scheduler groups nodes by identical text in a pod's event. Figures belong into the
decision annotation and /explain.
"""

from enum import StrEnum


class Rejection(StrEnum):
    """Why an offline pod may not use a node; the value is what the pod's event says."""

    WANTS_ACCELERATOR = "node(s) can't give accelerators to an offline pod"
    HAS_ACCELERATORS = "node(s) have accelerators, kept for online serving"
    BUSY = "node(s) are busy with online pods"
    CPU_HEADROOM = "node(s) would keep too little CPU free for online pods"
    MEMORY_HEADROOM = "node(s) would keep too little memory free for online pods"
    PRESSURE = "node(s) are under pressure: tasks wait for CPU or memory"
    UNKNOWN_NODE = "node(s) are not known to the carbon extender yet"


class Fallback(StrEnum):
    """What a decision had to do without; the value is a sentence for people."""

    NO_PLAN = "there is no placement plan: nodes already on are preferred"
    NODE_IN_NO_POOL = "some candidates are in no pool of the plan: their carbon is unknown, they come last"
    POOL_NOT_IN_PLAN = "the pod names a pool that the plan does not hold: scored by marginal carbon alone"
    PLANNED_POOL_FULL = "no node of the planned pool can take the pod: scored by marginal carbon alone"
    STALE_INTENSITY = "the carbon intensity of a candidate's zone is stale: its last known value is used"
    STALE_PLAN = "the placement plan was not renewed of late: it is still followed"
    EXPIRED_PLAN = (
        "the placement plan was not renewed for hours and counts no more: nodes already on are preferred"
    )
    NOT_ASKED = "kube-scheduler asked for no scores: a single node was left, or no answer came in time"
    CACHES_NOT_SYNCED = "the watch caches are not filled yet: candidates are scored alike"
