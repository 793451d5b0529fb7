"""Telling routers how to split a serving's requests: Services, a ConfigMap of weights, and an HTTPRoute's backends."""

from collections.abc import Mapping, Sequence
from typing import Any

from ecoserve.api import LLMServing
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.acting.weights import Backend, backends_of, build_service, build_weights, routed_rules
from ecoserve_operator.kube import CONFIG_MAP, HTTP_ROUTE, SERVICE, Kind, KubeApi
from ecoserve_operator.watch.records import DeploymentRecord, Key


class Router:
    """Remembers what it wrote last, so that a quiet cluster gets no requests."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._written: dict[tuple[str, str | None, str], Any] = {}

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
            await self._apply(SERVICE, build_service(serving, record, routing.port))
        backends = backends_of(wanted, running, changing=changing)
        await self._apply(CONFIG_MAP, build_weights(serving, backends, routing.port))
        if routing.http_route is None:
            return ""
        return await self._weigh(serving, routing.http_route, backends, routing.port)

    async def _apply(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        metadata = manifest["metadata"]
        place = (kind.plural, metadata["namespace"], metadata["name"])
        if self._written.get(place) != manifest:
            await self._api.apply(kind, manifest)
            self._written[place] = manifest

    async def _weigh(self, serving: LLMServing, name: str, backends: Sequence[Backend], port: int) -> str:
        namespace = serving.metadata.namespace
        place = (HTTP_ROUTE.plural, namespace, name)
        if self._written.get(place) == backends:
            return ""
        route = await self._api.get(HTTP_ROUTE, name, namespace)
        if route is None:
            return f"there is no HTTPRoute {name} for spec.routing.httpRoute in namespace {namespace}"
        before = (route.get("spec") or {}).get("rules") or []
        rules = routed_rules(before, serving.metadata.name, backends, port)
        if rules != before:
            version = {"resourceVersion": route["metadata"]["resourceVersion"]}
            await self._api.merge(
                HTTP_ROUTE, name, namespace, {"metadata": version, "spec": {"rules": rules}}
            )
        self._written[place] = backends
        return ""
