"""The one thin adapter to the API server: get, list, server-side apply, create, delete, as plain JSON.

Everything the operator owns is written by server-side apply with one field manager, status included: a field
left out disappears and lists with keys merge. Only the event and the Lease are created otherwise. A write passes the
fence first: all but the Lease itself is for the leader to write, and takes no longer than it leads for certain.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client as aio
from kubernetes.aio import config

from ecoserve.api.labels import API_VERSION, FIELD_MANAGER
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve_operator.fence import Fence

Object = dict[str, Any]

_PAGE = 500
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind live in the API."""

    api_version: str
    plural: str
    namespaced: bool

    @property
    def group(self) -> str:
        """The API group; empty for the core's."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The URL path of one object, or of the collection without a name."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        one = f"/{quote(name, safe='')}" if name else ""
        return f"{root}{within}/{self.plural}{one}{f'/{subresource}' if subresource else ''}"


LLM_SERVING: Final = Kind(API_VERSION, "llmservings", namespaced=True)
GRID_ZONE: Final = Kind(API_VERSION, "gridzones", namespaced=False)
HARDWARE_PROFILE: Final = Kind(API_VERSION, "hardwareprofiles", namespaced=False)
PLACEMENT_PLAN: Final = Kind(API_VERSION, "placementplans", namespaced=False)
DEPLOYMENT: Final = Kind("apps/v1", "deployments", namespaced=True)
NODE: Final = Kind("v1", "nodes", namespaced=False)
JOB: Final = Kind("batch/v1", "jobs", namespaced=True)
POD: Final = Kind("v1", "pods", namespaced=True)
CONFIG_MAP: Final = Kind("v1", "configmaps", namespaced=True)
SECRET: Final = Kind("v1", "secrets", namespaced=True)
EVENT: Final = Kind("v1", "events", namespaced=True)
AUTOSCALER: Final = Kind("autoscaling/v2", "horizontalpodautoscalers", namespaced=True)
SCALED_OBJECT: Final = Kind("keda.sh/v1alpha1", "scaledobjects", namespaced=True)
"""KEDA's kind, where its CRD is installed."""
BUDGET: Final = Kind("policy/v1", "poddisruptionbudgets", namespaced=True)
SERVICE: Final = Kind("v1", "services", namespaced=True)
HTTP_ROUTE: Final = Kind("gateway.networking.k8s.io/v1", "httproutes", namespaced=True)
"""The Gateway API's kind, where its CRDs are installed."""
INFERENCE_POOL: Final = Kind("inference.networking.k8s.io/v1", "inferencepools", namespaced=True)
"""The kind of the Gateway API's Inference Extension, where its CRDs are installed."""
LEASE: Final = Kind("coordination.k8s.io/v1", "leases", namespaced=True)


class ApiRefusedError(EcoserveError):
    """The API server answered a request with an error, in its own words."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class FieldConflictError(ApiRefusedError):
    """Fields that were to be applied belong to other managers; the message names both."""


class ApiUnreachableError(EcoserveError):
    """No answer came from the API server."""


class KubeApi:
    """Requests to one API server; use as an async context manager."""

    def __init__(self, configuration: aio.Configuration, timeout_seconds: float) -> None:
        self.configuration = configuration
        self.client = aio.ApiClient(configuration)
        self.fence = Fence()
        self._timeout_seconds = timeout_seconds

    @classmethod
    async def connect(cls, timeout_seconds: float) -> Self:
        """Read credentials: the pod's ServiceAccount in a cluster, else the kubeconfig."""
        configuration = aio.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            try:
                await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            except config.ConfigException as error:
                reason = " ".join(str(error).split())
                raise InvalidInputError(
                    "KUBECONFIG", None, f"run in a pod, or point KUBECONFIG at a kubeconfig ({reason})"
                ) from None
        return cls(configuration, timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()  # type: ignore[no-untyped-call]

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None where there is none."""
        try:
            return await self._request("GET", kind.path(namespace, name))
        except ApiRefusedError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, label_selector: str = "", field_selector: str = "") -> list[Object]:
        """All objects of a kind in every namespace; those that selectors pick, where some are given."""
        query = urlencode({"labelSelector": label_selector, "fieldSelector": field_selector})
        found = await self._request("GET", f"{kind.path()}?{query}")
        items: list[Object] = found.get("items") or []
        return items

    async def names(self, kind: Kind, selectors: Mapping[str, str]) -> set[tuple[str | None, str]]:
        """Namespace and name of each object of a kind that the selectors (`labelSelector`, `fieldSelector`) pick."""
        found: set[tuple[str | None, str]] = set()
        query = {**selectors, "limit": str(_PAGE)}
        while True:
            path = f"{kind.path()}?{urlencode(query)}"
            page = await self._request("GET", path, accept=_METADATA_ONLY)
            for item in page.get("items") or ():
                metadata = item["metadata"]
                found.add((metadata.get("namespace"), metadata["name"]))
            following = page["metadata"].get("continue")
            if not following:
                return found
            query["continue"] = following

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows the kind."""
        try:
            listing = await self._request("GET", f"/apis/{kind.api_version}")
        except ApiRefusedError as error:
            if error.status == 404:
                return False
            raise
        return any(resource["name"] == kind.plural for resource in listing["resources"])

    async def apply(
        self,
        kind: Kind,
        manifest: Mapping[str, Any],
        *,
        subresource: str = "",
        manager: str = FIELD_MANAGER,
        force: bool = True,
    ) -> Object:
        """Server-side apply: the fields given become the manager's, those it no longer gives go.

        Raises FieldConflictError where one is another manager's and is not taken by force.
        """
        metadata = manifest["metadata"]
        query = urlencode({"fieldManager": manager, "force": str(force).lower()})
        path = kind.path(metadata.get("namespace"), metadata["name"], subresource)
        return await self._write(kind, "PATCH", f"{path}?{query}", manifest, "application/apply-patch+yaml")

    async def create(self, kind: Kind, manifest: Mapping[str, Any]) -> Object:
        """Create an object."""
        return await self._write(kind, "POST", kind.path(manifest["metadata"].get("namespace")), manifest)

    async def merge(self, kind: Kind, name: str, namespace: str | None, patch: Mapping[str, Any]) -> Object:
        """Merge-patch an object that is not ours alone."""
        path = f"{kind.path(namespace, name)}?{urlencode({'fieldManager': FIELD_MANAGER})}"
        return await self._write(kind, "PATCH", path, patch, "application/merge-patch+json")

    async def delete(self, kind: Kind, name: str, namespace: str | None = None, uid: str = "") -> None:
        """Delete the object of this uid and, in the background, what it owns; none is as good."""
        body = {"propagationPolicy": "Background", **({"preconditions": {"uid": uid}} if uid else {})}
        try:
            await self._write(kind, "DELETE", kind.path(namespace, name), body)
        except ApiRefusedError as error:
            if error.status not in (404, 409):  # 409: another object of this name by now
                raise

    async def _write(
        self,
        kind: Kind,
        method: str,
        path: str,
        body: Mapping[str, Any],
        content: str = "application/json",
    ) -> Object:
        seconds = self._timeout_seconds if kind is LEASE else self.fence.seconds_left()
        return await self._request(method, path, body, content, seconds)

    async def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        most_seconds: float = inf,
        accept: str = "application/json",
    ) -> Object:
        timeout = aiohttp.ClientTimeout(total=min(self._timeout_seconds, most_seconds))
        headers = {"Accept": accept, "Content-Type": content}
        try:
            request = await self.client.param_serialize(
                method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = await self.client.call_api(*request, _request_timeout=timeout)
            text = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnreachableError(f"the API server did not answer ({type(error).__name__})") from error
        answer: Object = _decoded(text)
        if not 200 <= response.status <= 299:
            causes = (answer.get("details") or {}).get("causes") or ()
            conflict = any(cause.get("reason") == "FieldManagerConflict" for cause in causes)
            refused = FieldConflictError if conflict else ApiRefusedError
            raise refused(response.status, answer.get("message") or f"status {response.status}")
        return answer


def _decoded(text: bytes) -> Object:
    """The JSON object of an answer; anything in front of the server may answer with other things."""
    try:
        decoded = json.loads(text)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
