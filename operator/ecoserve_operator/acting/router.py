"""Telling routers how to split a serving's requests: Services, a ConfigMap of weights, and an HTTPRoute's backends."""

from collections.abc import Mapping, Sequence

from ecoserve.api import LLMServing
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.acting.weights import Backend, backends_of, build_service, build_weights, routed_rules
from ecoserve_operator.acting.written import Written
from ecoserve_operator.kube import CONFIG_MAP, HTTP_ROUTE, SERVICE, KubeApi
from ecoserve_operator.watch.records import DeploymentRecord, Key


class Router:
    """Remembers the weights it gave each HTTPRoute."""

    def __init__(self, api: KubeApi, written: Written) -> None:
        self._api = api
        self._written = written
        self._weighed: dict[tuple[str | None, str], Sequence[Backend]] = {}

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
        if routing.http_route is None:
            return ""
        return await self._weigh(serving, routing.http_route, backends, routing.port)

    async def _weigh(self, serving: LLMServing, name: str, backends: Sequence[Backend], port: int) -> str:
        namespace = serving.metadata.namespace
        if self._weighed.get((namespace, name)) == backends:
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
        self._weighed[namespace, name] = backends
        return ""
