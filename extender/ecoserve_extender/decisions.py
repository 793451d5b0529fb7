"""What was decided for each pod: remembered for /explain, written onto the pod once its bind is seen.

A ranking takes eleven bytes per candidate, and the oldest decisions are dropped once the candidates of all together
exceed a budget: memory is bounded on any cluster.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ecoserve.api.labels import CLASS_OFFLINE, CLASS_ONLINE
from ecoserve_extender.cache.names import Asked
from ecoserve_extender.cache.records import PendingPod
from ecoserve_extender.policy.offline import LoadFrom
from ecoserve_extender.policy.scoring import Ranking
from ecoserve_extender.policy.shortlist import LEFT_OUT
from ecoserve_extender.policy.verdict import Rejection

_EXAMPLES = 5
_MIN_KEPT = 16
_EACH = 100
"""What a decision itself takes, about a kilobyte, in candidates: on a small cluster each has few of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The last answer for one pod; `node` is where the pod was seen bound."""

    uid: str
    pod: str
    traffic_class: str
    decided_at: datetime
    plan: str | None
    ranking: Ranking | None = None
    rejected: Mapping[Rejection, Asked]
    left_out: Asked | None = None
    """Nodes that could take the pod, but of which filter did not tell: enough others are as green or greener."""
    online_load: Mapping[LoadFrom, int] = field(default_factory=dict)
    node: str | None = None

    @property
    def size(self) -> int:
        """Memory taken, in candidates and refused nodes held."""
        held = [*self.rejected.values(), *([self.left_out] if self.left_out else [])]
        return _EACH + (len(self.ranking.nodes) if self.ranking else 0) + sum(map(len, held))

    def annotation(self) -> dict[str, Any]:
        """Return the content of the decision annotation of a bound pod."""
        ranking = self.ranking
        if ranking is None:
            chosen = runner_up = own = other = None
        else:
            chosen = None if self.node is None else ranking.nodes.place(self.node)
            runner_up = ranking.first(other_than=ranking.first() if self.node is None else chosen)
            own, other = ranking.grams_per_hour(chosen), ranking.grams_per_hour(runner_up)
        return {
            "node": self.node,
            "runnerUp": None if ranking is None or runner_up is None else ranking.nodes.name(runner_up),
            "gramsPerHour": own,
            "gramsPerHourDifference": None if own is None or other is None else round(other - own, 3),
            "plan": self.plan,
            "fallback": ranking.fallback.value if ranking and ranking.fallback else None,
        }

    def explanation(self) -> dict[str, Any]:
        """Return everything that is known of the decision, candidates best first."""
        return {
            "pod": self.pod,
            "uid": self.uid,
            "class": self.traffic_class,
            "decidedAt": self.decided_at.isoformat(timespec="milliseconds"),
            "decision": self.annotation(),
            "candidates": self._candidates(),
            "leftOut": self._left_out(),
            "onlineLoadFrom": {source.value: nodes for source, nodes in self.online_load.items() if nodes},
            "rejected": [
                {
                    "reason": reason.name,
                    "message": reason.value,
                    "count": len(nodes),
                    "nodes": _examples(nodes),
                }
                for reason, nodes in self.rejected.items()
            ],
        }

    def _left_out(self) -> dict[str, Any] | None:
        """Return how many nodes were not on the shortlist, of filter or (for pods that are not filtered) of prioritize."""
        left_out = self.left_out
        if not left_out and self.ranking is not None:
            left_out = self.ranking.nodes.part(~self.ranking.listed)
        if not left_out:
            return None
        return {"message": LEFT_OUT, "count": len(left_out), "nodes": _examples(left_out)}

    def _candidates(self) -> list[dict[str, Any]]:
        ranking = self.ranking
        if ranking is None:
            return []
        scores, names = ranking.scores.tolist(), ranking.nodes.names()
        return [
            {"node": names[i], "gramsPerHour": ranking.grams_per_hour(i), "score": scores[i]}
            for i in ranking.order()
        ]


def _examples(nodes: Asked) -> list[str]:
    return [nodes.name(place) for place in range(min(_EXAMPLES, len(nodes)))]


class DecisionLog:
    """The latest decisions, one per pod name, within a budget of memory, counted in candidates."""

    def __init__(self, candidates_kept: int) -> None:
        self._budget = candidates_kept
        self._held = 0
        self._decisions: OrderedDict[str, Decision] = OrderedDict()

    def filtered(
        self,
        pod: PendingPod,
        plan: str | None,
        rejected: Mapping[Rejection, Asked],
        online_load: Mapping[LoadFrom, int],
        left_out: Asked | None = None,
    ) -> None:
        """Note what filter answered; a new call starts a new decision."""
        self._put(
            Decision(
                uid=pod.uid,
                pod=pod.key,
                traffic_class=CLASS_OFFLINE if pod.offline else CLASS_ONLINE,
                decided_at=datetime.now(UTC),
                plan=plan,
                rejected=rejected,
                online_load=online_load,
                left_out=left_out,
            )
        )

    def ranked(self, pod: PendingPod, plan: str | None, ranking: Ranking) -> None:
        """Note how the candidates were ranked, with what filter answered before where it did."""
        if self.get(pod.key, pod.uid) is None:
            self.filtered(pod, plan, {}, {})
        known, now = self._decisions[pod.key], datetime.now(UTC)
        self._put(replace(known, decided_at=now, plan=plan, ranking=ranking))

    def bound(self, pod: str, uid: str, node: str) -> Decision | None:
        """Note where a pod was bound and return the decision; None where it never went through us."""
        decision = self.get(pod, uid)
        if decision is None:
            return None
        self._decisions[pod] = replace(decision, node=node)
        return self._decisions[pod]

    def get(self, pod: str, uid: str | None = None) -> Decision | None:
        """Return the decision on a pod by `namespace/name`; None where unknown, or of another pod of that name."""
        decision = self._decisions.get(pod)
        return decision if decision is not None and uid in (None, decision.uid) else None

    def _put(self, decision: Decision) -> None:
        before = self._decisions.pop(decision.pod, None)
        self._held += decision.size - (before.size if before else 0)
        self._decisions[decision.pod] = decision
        while self._held > self._budget and len(self._decisions) > _MIN_KEPT:
            _, oldest = self._decisions.popitem(last=False)
            self._held -= oldest.size
