"""Telling routers how to split a serving's requests: Services or InferencePools, a ConfigMap of weights, an HTTPRoute."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecoserve.api import LLMServing
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.acting.weights import (
    Backend,
    Neighbours,
    backends_of,
    build_inference_pool,
    build_service,
    build_weights,
    routed_rules,
)
from ecoserve_operator.acting.written import Written
from ecoserve_operator.kube import (
    CONFIG_MAP,
    HTTP_ROUTE,
    INFERENCE_POOL,
    SERVICE,
    ApiRefusedError,
    Kind,
    KubeApi,
)
from ecoserve_operator.watch.records import DeploymentRecord, Key
from ecoserve_operator.watch.world import World

_NOT_SET_UP = (403, 404)
"""What the API server answers where rights or CRDs are missing."""


class Router:
    """Remembers the weights it gave each serving's HTTPRoute."""

    def __init__(self, api: KubeApi, written: Written, world: World) -> None:
        self._api = api
        self._written = written
        self._world = world
        self._weighed: dict[Key, tuple[str, Mapping[str, Any], Sequence[Backend]]] = {}

    async def route(
        self,
        serving: LLMServing,
        wanted: Sequence[Wanted],
        running: Mapping[Key, DeploymentRecord],
        *,
        changing: bool,
    ) -> str:
        """Bring a serving's weights up to date; what is wrong with its HTTPRoute, in words, or nothing.

        Raises ApiRefusedError, ApiUnreachableError and LeaseLostError as writing does.
        """
        routing = serving.spec.routing
        if routing is None:
            return ""
        for record in running.values():
            await self._written.apply(SERVICE, build_service(serving, record, routing.port))
        backends = backends_of(wanted, running, changing=changing)
        await self._written.apply(CONFIG_MAP, build_weights(serving, backends, routing.port))
        to: Mapping[str, Any] = {"group": "", "kind": "Service", "port": routing.port}
        if routing.endpoint_picker is not None:
            to = {"group": INFERENCE_POOL.group, "kind": "InferencePool"}
            try:
                for name in (item.name for item in backends if item.takes_whole_requests):
                    record = running[serving.metadata.namespace, name]
                    pool = build_inference_pool(serving, record, routing.port, routing.endpoint_picker)
                    await self._written.apply(INFERENCE_POOL, pool)
            except ApiRefusedError as error:
                if error.status not in _NOT_SET_UP:
                    raise
                return (
                    "InferencePools for spec.routing.endpointPicker can't be written: install the Inference Extension's "
                    f"CRDs and set rbac.inferencePools=true in the chart ({error})"
                )
        if routing.http_route is None:
            return ""
        return await self._weigh(serving, routing.http_route, backends, to)

    def forget(self, kind: Kind) -> None:
        """Take objects of a kind for not written."""
        self._written.forget(kind)
        if kind is HTTP_ROUTE:
            self._weighed.clear()

    async def _weigh(
        self, serving: LLMServing, name: str, backends: Sequence[Backend], to: Mapping[str, Any]
    ) -> str:
        namespace = serving.metadata.namespace
        key, weighed = (namespace, serving.metadata.name), (name, to, backends)
        if self._weighed.get(key) == weighed:
            return ""
        route = await self._api.get(HTTP_ROUTE, name, namespace)
        if route is None:
            return f"there is no HTTPRoute {name} for spec.routing.httpRoute in namespace {namespace}"
        before = (route.get("spec") or {}).get("rules") or []
        rules = routed_rules(before, serving.metadata.name, backends, to, self._neighbours(serving))
        if rules != before:
            version = {"resourceVersion": route["metadata"]["resourceVersion"]}
            await self._api.merge(
                HTTP_ROUTE, name, namespace, {"metadata": version, "spec": {"rules": rules}}
            )
        self._weighed[key] = weighed
        return ""

    def _neighbours(self, serving: LLMServing) -> Neighbours:
        namespace, uid = serving.metadata.namespace, serving.metadata.uid
        return Neighbours(
            servings=[name for within, name in self._world.servings if within == namespace],
            deployments={
                record.name
                for (within, _), record in self._world.deployments.items()
                if within == namespace and record.owner_uid != uid
            },
        )
