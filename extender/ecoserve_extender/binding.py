"""Binds pods where kube-scheduler puts them, with the decision on board: one write to the API server instead of two.

The API server merges a Binding's annotations into the pod, so that a bound pod carries its decision from the first moment,
and only the extender that was asked writes it. kube-scheduler does not ask about a single candidate: such a pod is
read, and the decision made now. A bind that fails is reported, and the scheduler, whose entry is ignorable, binds by itself.
"""

import json
from http import HTTPStatus
from typing import Protocol

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient

from ecoserve.api.labels import DECISION
from ecoserve.errors import InvalidInputError
from ecoserve_extender.cache.objects import Pod
from ecoserve_extender.cache.records import PendingPod, pending_pod
from ecoserve_extender.extender import Extender
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.wire import Binding

_TIMEOUT = aiohttp.ClientTimeout(total=0.9)
"""Shorter than the scheduler's own second: it hears of the failure before it gives up and binds by itself."""
_PATH = "/api/v1/namespaces/{namespace}/pods/{name}"


class BindError(Exception):
    """The API server did not bind the pod; the message is one sentence."""


class Pods(Protocol):
    """What binding needs of the API server."""

    async def read(self, binding: Binding) -> PendingPod | None:
        """Return the pod; None where it can't be had."""

    async def bind(self, binding: Binding, annotations: dict[str, str]) -> None:
        """Bind the pod and annotate it. Raises BindError."""


class Binder:
    """Carries out what kube-scheduler decided."""

    def __init__(self, extender: Extender, pods: Pods, metrics: Metrics) -> None:
        self._extender = extender
        self._pods = pods
        self._outcomes = metrics.binds

    async def bind(self, binding: Binding) -> str:
        """Bind; returns what went wrong, empty where nothing did."""
        decision = self._extender.binding(binding)
        if decision is None:
            pod = await self._pods.read(binding)
            if pod is not None:
                self._extender.prioritize(pod, (binding.node,))
                decision = self._extender.binding(binding)
        annotations = {}
        if decision is not None:
            annotations = {DECISION: json.dumps(decision.annotation(), separators=(",", ":"))}
        try:
            await self._pods.bind(binding, annotations)
        except BindError as error:
            self._outcomes.labels("failed").inc()
            return str(error)
        self._outcomes.labels("bound").inc()
        return ""


class ApiPods:
    """Pods of a real API server."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def read(self, binding: Binding) -> PendingPod | None:
        """Return the pod; None where it can't be had."""
        try:
            status, body = await self._call("GET", _PATH, binding, None)
            pod = msgspec.json.decode(body, type=Pod)
            return (
                pending_pod(pod) if status == HTTPStatus.OK and pod.metadata.uid == binding.pod_uid else None
            )
        except (BindError, msgspec.MsgspecError, InvalidInputError):
            return None

    async def bind(self, binding: Binding, annotations: dict[str, str]) -> None:
        """Bind the pod and annotate it. Raises BindError."""
        metadata = {
            "name": binding.pod_name,
            "namespace": binding.pod_namespace,
            "uid": binding.pod_uid,
            "annotations": annotations,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": metadata,
            "target": {"kind": "Node", "name": binding.node},
        }
        status, told = await self._call("POST", _PATH + "/binding", binding, body)
        if status != HTTPStatus.CREATED:
            raise BindError(
                f"the API server answered {status} to the bind: {told[:300].decode(errors='replace')}"
            )

    async def _call(self, method: str, path: str, binding: Binding, body: object) -> tuple[int, bytes]:
        verb, url, headers, content, _ = await self._client.param_serialize(
            method,
            path,
            path_params={"namespace": binding.pod_namespace, "name": binding.pod_name},
            header_params={"Content-Type": "application/json", "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._client.call_api(verb, url, headers, content, _request_timeout=_TIMEOUT)
            async with answer.response as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BindError(f"the API server can't be reached: {error or type(error).__name__}") from None
