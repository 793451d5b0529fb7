"""Nodes, bound pods and the plan, with what pods take of each node added up as events arrive.

A request then costs one look-up per candidate, whatever the number of pods: what decides a node's carbon, its pool and
whether it is on, is worked out when it changes, and nodes alike share one `Standing`. Everything happens on one event loop:
watches and requests take turns, so that no lock is needed and every answer rests on a consistent state.
"""

from dataclasses import dataclass

from ecoserve_extender.cache.plan_view import PlanView, PoolView
from ecoserve_extender.cache.records import BoundPod, NodeRecord, Requests
from ecoserve_extender.cache.table import NodeTable


@dataclass(frozen=True, slots=True)
class Standing:
    """What all nodes alike have in common."""

    pool: str | None
    on: bool


UNKNOWN = Standing(None, False)
"""Of a node that is not in the cache: the first of all standings."""


class ClusterState:
    """The state."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeRecord] = {}
        self.pods: dict[str, BoundPod] = {}
        self.offline: dict[str, BoundPod] = {}
        """Those of class offline again: few among many, and looked through every few seconds."""
        self.plan: PlanView | None = None
        self.table = NodeTable()
        self.standings = [UNKNOWN]
        """What the numbers in the table's column `standing` stand for."""
        self._number_of = {UNKNOWN: 0}
        self._pool_names: dict[str, str | None] = {}

    def pool(self, node: str) -> PoolView | None:
        """Return the pool of a node; None without a plan, or where no pool selects the node."""
        name = self._pool_names.get(node)
        return self.plan.pools[name] if self.plan is not None and name is not None else None

    def put_node(self, node: NodeRecord) -> None:
        """Record a node, new or changed."""
        known = self.nodes.get(node.name)
        if known == node:
            return
        self.nodes[node.name] = node
        self.table.offer(node)
        if known is None or known.labels != node.labels:
            self._assign(node)
            self._stand(node.name)

    def remove_node(self, name: str) -> None:
        """Forget a node; what pods take of it is forgotten with the pods."""
        self.nodes.pop(name, None)
        self._pool_names.pop(name, None)
        self.table.stand(name, 0)
        self.table.withdraw(name)

    def put_pod(self, pod: BoundPod) -> None:
        """Record a bound pod, new or changed."""
        known = self.pods.get(pod.uid)
        if known == pod:
            return
        if known is not None:
            self._count(known, -1)
        self.pods[pod.uid] = pod
        self.offline.pop(pod.uid, None)
        if pod.offline:
            self.offline[pod.uid] = pod
        self._count(pod, +1)

    def remove_pod(self, uid: str) -> None:
        """Forget a pod: deleted or finished."""
        pod = self.pods.pop(uid, None)
        self.offline.pop(uid, None)
        if pod is not None:
            self._count(pod, -1)

    def arrive(self, node: str, change: int) -> None:
        """Count a pod that is most likely about to land on a node, or no longer is."""
        self.table.hold_on(node, arriving=change)
        self._stand(node)
        self.table.drop_if_unused(node)

    def put_plan(self, plan: PlanView | None) -> None:
        """Take over a plan; nodes are matched to pools anew only where that has changed."""
        before, self.plan = self.plan, plan
        if plan is None:
            self._pool_names.clear()
        if plan is None or before is None or before.groups != plan.groups:
            self.standings, self._number_of = [UNKNOWN], {UNKNOWN: 0}
            for node in self.nodes.values():
                self._assign(node)
            self._stand_all()

    def _assign(self, node: NodeRecord) -> None:
        if self.plan is not None:
            self._pool_names[node.name] = self.plan.pool_of(node.labels)
        pool = self.pool(node.name)
        self.table.plan(node.name, Requests() if pool is None else pool.planned_online)

    def _stand_all(self) -> None:
        for name in self.nodes:
            self._stand(name)

    def _stand(self, name: str) -> None:
        if name in self.nodes:
            standing = Standing(self._pool_names.get(name), self.table.on(name))
            number = self._number_of.get(standing)
            if number is None:
                number = self._number_of[standing] = len(self.standings)
                self.standings.append(standing)
            self.table.stand(name, number)

    def _count(self, pod: BoundPod, sign: int) -> None:
        self.table.take(pod.node, pod.requests, sign, offline=pod.offline)
        if pod.keeps_node_on:
            self.table.hold_on(pod.node, holders=sign)
            self._stand(pod.node)
        self.table.drop_if_unused(pod.node)
