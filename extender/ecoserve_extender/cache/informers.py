"""The three watches, and how their objects become records of the state."""

import asyncio
from collections.abc import Callable, Set
from typing import Protocol

from kubernetes.aio.client import ApiClient

from ecoserve.api.labels import CURRENT_PLAN, GROUP, VERSION
from ecoserve.errors import InvalidInputError
from ecoserve_extender.cache import protobuf
from ecoserve_extender.cache.objects import Node, PlanObject, Pod
from ecoserve_extender.cache.plan_view import PlanView, read_plan
from ecoserve_extender.cache.records import BoundPod, bound_pod, node_record
from ecoserve_extender.cache.reflector import Reflector, Resource, Sink, T
from ecoserve_extender.cache.server_clock import ServerClock
from ecoserve_extender.cache.state import ClusterState
from ecoserve_extender.metrics import Metrics

NODES = Resource(name="nodes", path="/api/v1/nodes", kind=Node, protobuf=protobuf.NODES)
PODS = Resource(
    name="pods",
    path="/api/v1/pods",
    kind=Pod,
    protobuf=protobuf.PODS,
    field_selector="spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed",
)
"""Pods that take up a node: those that wait, and finished ones, are neither sent nor decoded."""
_PLANS = Resource(
    name="placementplans",
    path=f"/apis/{GROUP}/{VERSION}/placementplans",
    kind=PlanObject,
    field_selector=f"metadata.name={CURRENT_PLAN}",
    optional=True,
)


TakePlan = Callable[[PlanView | None], None]


class PodFollower(Protocol):
    """Who is told of bound pods before they count."""

    def see(self, pod: Pod, record: BoundPod, /) -> None:
        """Take a bound pod, new or changed."""

    def leave(self, uid: str, /) -> None:
        """Take note that a pod is gone."""


class _NodeSink:
    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def key(self, node: Node, /) -> str:
        return node.metadata.name

    def put(self, node: Node, /) -> None:
        self._state.put_node(node_record(node))

    def remove(self, node: Node, /) -> None:
        self._state.remove_node(node.metadata.name)

    def keep_only(self, keys: Set[str], /) -> None:
        for name in self._state.nodes.keys() - keys:
            self._state.remove_node(name)


class PodSink:
    """Puts bound pods into the state, and tells the follower before."""

    def __init__(self, state: ClusterState, follower: PodFollower) -> None:
        self._state = state
        self._follower = follower

    def key(self, pod: Pod, /) -> str:
        """Return the pod's UID."""
        return pod.metadata.uid

    def put(self, pod: Pod, /) -> None:
        """Take a pod, new or changed."""
        record = bound_pod(pod)
        if record is None:
            self._forget(pod.metadata.uid)
        else:
            self._follower.see(pod, record)
            self._state.put_pod(record)

    def remove(self, pod: Pod, /) -> None:
        """Take note that a pod is gone."""
        self._forget(pod.metadata.uid)

    def keep_only(self, keys: Set[str], /) -> None:
        """Forget all pods but these."""
        for uid in self._state.pods.keys() - keys:
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        self._follower.leave(uid)
        self._state.remove_pod(uid)


class PlanSink:
    """Hands the plan over as often as the operator writes to it: one that is only listed anew was not renewed."""

    def __init__(self, take: TakePlan, metrics: Metrics) -> None:
        self._take = take
        self._metrics = metrics
        self._version: str | None = None

    def key(self, plan: PlanObject, /) -> str:
        """Return the plan's name."""
        return plan.metadata.name

    def put(self, plan: PlanObject, /) -> None:
        """Take the plan, new or changed."""
        if plan.metadata.resource_version == self._version:
            return
        try:
            self._take(read_plan(plan.spec))
        except InvalidInputError:
            self._metrics.invalid_plans.inc()
            raise
        self._version = plan.metadata.resource_version

    def remove(self, _: PlanObject, /) -> None:
        """Take note that there is no plan any more."""
        self._version = None
        self._take(None)

    def keep_only(self, keys: Set[str], /) -> None:
        """Take note of a list without a plan."""
        if not keys:
            self._version = None
            self._take(None)


class Informers:
    """Keeps the state current for as long as `run` runs."""

    def __init__(
        self,
        client: ApiClient,
        state: ClusterState,
        follower: PodFollower,
        metrics: Metrics,
        silence_seconds: float,
        take_plan: TakePlan,
        clock: ServerClock,
        urgent: Callable[[], bool],
    ) -> None:
        def reflect(resource: Resource[T], sink: Sink[T]) -> Reflector[T]:
            restarts = metrics.watch_restarts.labels(resource.name)
            return Reflector(
                client,
                resource,
                sink,
                silence_seconds=silence_seconds,
                on_restart=restarts.inc,
                urgent=urgent,
                clock=clock,
            )

        self._reflectors = (
            reflect(NODES, _NodeSink(state)),
            reflect(PODS, PodSink(state, follower)),
            reflect(_PLANS, PlanSink(take_plan, metrics)),
        )

    async def wait_synced(self) -> None:
        """Wait until every list has been read once."""
        for reflector in self._reflectors:
            await reflector.synced.wait()

    @property
    def ages_seconds(self) -> dict[str, Callable[[], float]]:
        """How long ago the API server was last heard, by resource."""
        return {reflector.resource.name: reflector.age_seconds for reflector in self._reflectors}

    async def run(self) -> None:
        """Follow all three watches; ends only when cancelled, or with the error that broke one of them."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"watch-{reflector.resource.name}")
