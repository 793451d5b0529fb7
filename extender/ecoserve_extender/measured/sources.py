"""Sources of measured use: metrics.k8s.io through the API server, or any Prometheus that scrapes kubelets.

Both tell what nodes use and what pods use; online use is the first less that of the node's offline pods. Prometheus can
tell besides for how long tasks stalled (pressure stall information of kubelets since 1.33), which is how a node whose
memory bandwidth is used up shows. It tells of all pods: an answer is read in a thread, as kube-scheduler would wait meanwhile.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient

from ecoserve.api.labels import CLASS, CLASS_OFFLINE
from ecoserve.errors import InvalidInputError
from ecoserve.units import parse_quantity
from ecoserve_extender.api_server import asked
from ecoserve_extender.cache.objects import ObjectMeta
from ecoserve_extender.cache.records import LARGEST, Requests
from ecoserve_extender.measured.offline_use import OfflineUse, PodKey
from ecoserve_extender.measured.use import Sample, SourceError

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_MOST_BYTES = 64 * 2**20
_MOST_SHOWN = 200  # characters

_CPU = ('container_cpu_usage_seconds_total{id="/"}', "node_cpu_usage_seconds_total")
_MEMORY = ('container_memory_working_set_bytes{id="/"}', "node_memory_working_set_bytes")
_POD_CPU = 'container_cpu_usage_seconds_total{container!="",container!="POD"}'
_POD_MEMORY = 'container_memory_working_set_bytes{container!="",container!="POD"}'
_STALLS = 'container_pressure_%s_waiting_seconds_total{id="/"}'


def _of_nodes(cadvisor: str, resource: str) -> str:
    """Return the query by node: of cAdvisor's whole machine, or of the kubelet's own figures where that is dropped."""
    return f"max by (node) ({cadvisor}) or max by (node) ({resource})"


def _of_pods(containers: str) -> str:
    """Return the query by pod; a container that is scraped at both of a kubelet's endpoints counts once."""
    return f"sum by (namespace, pod) (max by (namespace, pod, container) ({containers}))"


_Rows = list[tuple[Mapping[str, str], float]]
"""What a query gave: labels and values."""

_QUERIES = {
    "cpu": _of_nodes(*(f"rate({series}[2m])" for series in _CPU)),
    "memory": _of_nodes(*_MEMORY),
    "pod_cpu": _of_pods(f"rate({_POD_CPU}[2m])"),
    "pod_memory": _of_pods(_POD_MEMORY),
    # In one query both would be told under the same labels, which Prometheus refuses.
    "cpu_stalls": f"max by (node) (rate({_STALLS % 'cpu'}[2m]))",
    "memory_stalls": f"max by (node) (rate({_STALLS % 'memory'}[2m]))",
}


class _Usage(msgspec.Struct):
    cpu: str = "0"
    memory: str = "0"


class _NodeMetrics(msgspec.Struct):
    metadata: ObjectMeta
    usage: _Usage


class _ContainerMetrics(msgspec.Struct):
    usage: _Usage


class _PodMetrics(msgspec.Struct):
    metadata: ObjectMeta
    containers: list[_ContainerMetrics]


class _NodeMetricsList(msgspec.Struct):
    items: list[_NodeMetrics]


class _PodMetricsList(msgspec.Struct):
    items: list[_PodMetrics]


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Vector(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Vector


class _Refusal(msgspec.Struct):
    error: str


class MetricsApi:
    """The resource metrics API, as metrics-server or an adapter serves it."""

    def __init__(self, client: ApiClient, offline: OfflineUse) -> None:
        self._client = client
        self._offline = offline

    async def read(self) -> Mapping[str, Sample]:
        """Return a sample per node; raises SourceError where the API is not there."""
        nodes, pods = await asyncio.gather(
            self._list("nodes", ""), self._list("pods", f"{CLASS}={CLASS_OFFLINE}")
        )
        try:
            totals = {
                item.metadata.name: _requests([item.usage])
                for item in msgspec.json.decode(nodes, type=_NodeMetricsList).items
            }
            of_pods = {
                (item.metadata.namespace, item.metadata.name): _requests(
                    container.usage for container in item.containers
                )
                for item in msgspec.json.decode(pods, type=_PodMetricsList).items
            }
            return samples(totals, self._offline.by_node(of_pods), {})
        except (msgspec.MsgspecError, InvalidInputError) as error:
            raise SourceError(f"metrics.k8s.io answered with something else: {error}") from None

    async def _list(self, resource: str, selector: str) -> bytes:
        path = f"/apis/metrics.k8s.io/v1beta1/{resource}"
        query = {"labelSelector": selector} if selector else {}
        try:
            async with asked(self._client, "GET", path, query=query, timeout=_TIMEOUT) as response:
                if response.status != HTTPStatus.OK:
                    raise SourceError(f"metrics.k8s.io answered {response.status}")
                return bytes(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SourceError(f"metrics.k8s.io can't be reached: {error or type(error).__name__}") from None


class Prometheus:
    """A Prometheus that scrapes kubelets, at /metrics/cadvisor or /metrics/resource, with the label `node` on every series."""

    def __init__(self, session: aiohttp.ClientSession, url: str, offline: OfflineUse) -> None:
        self._session = session
        self._url = url.rstrip("/") + "/api/v1/query"
        self._offline = offline

    async def read(self) -> Mapping[str, Sample]:
        """Return a sample per node; raises SourceError where Prometheus can't tell."""
        results = await asyncio.gather(*(self._query(query) for query in _QUERIES.values()))
        found = dict(zip(_QUERIES, results, strict=True))
        cpu, memory = _by_node(found["cpu"]), _by_node(found["memory"])
        if not cpu:
            raise SourceError(f"Prometheus knows neither {' nor '.join(_CPU)} with the label node")
        # A node of which half is known is not measured: it would look as if all of its memory were free.
        totals = {node: _amounts(value, memory[node]) for node, value in cpu.items() if node in memory}
        if not totals:
            raise SourceError(
                f"Prometheus knows neither {' nor '.join(_MEMORY)} of the nodes whose CPU it knows"
            )
        of_pods = await asyncio.to_thread(_of_all_pods, found["pod_cpu"], found["pod_memory"])
        stalls = _by_node(found["cpu_stalls"])
        for node, share in _by_node(found["memory_stalls"]).items():
            stalls[node] = max(share, stalls.get(node, 0.0))
        return samples(totals, self._offline.by_node(of_pods), stalls)

    async def _query(self, query: str) -> _Rows:
        try:
            async with self._session.post(self._url, data={"query": query}, timeout=_TIMEOUT) as response:
                body = await _body(response)
                if response.status != HTTPStatus.OK:
                    raise SourceError(f"Prometheus answered {response.status}{_why(body)}")
                return await asyncio.to_thread(_vector, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SourceError(f"Prometheus can't be reached: {error or type(error).__name__}") from None
        except (msgspec.MsgspecError, ValueError):
            raise SourceError("Prometheus answered with something else than a vector") from None


def _vector(body: bytes) -> _Rows:
    """Read an answer; what is no amount (NaN) is left out. Raises MsgspecError and ValueError."""
    rows = msgspec.json.decode(body, type=_Answer).data.result
    parsed = [(row.metric, float(row.value[1])) for row in rows]
    return [(labels, value) for labels, value in parsed if math.isfinite(value) and value >= 0]


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return all of an answer, which comes in pieces; raises SourceError for one that has no end."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _MOST_BYTES:
            raise SourceError(f"Prometheus answered with more than {_MOST_BYTES >> 20} MiB")
    return bytes(body)


def _why(body: bytes) -> str:
    """Return what an error says of itself, where it is one of Prometheus' own."""
    try:
        return f": {' '.join(msgspec.json.decode(body, type=_Refusal).error.split())[:_MOST_SHOWN]}"
    except (msgspec.MsgspecError, UnicodeError):
        return ""


def samples(
    totals: Mapping[str, Requests],
    offline: Iterable[tuple[str, Requests]],
    stalls: Mapping[str, float],
) -> dict[str, Sample]:
    """Take the use of offline pods (node, use) off their nodes' totals."""
    left = dict(totals)
    for node, use in offline:
        if node in left:
            left[node] = (left[node] + -use).most(Requests())
    return {node: Sample(online, stalls.get(node, 0.0)) for node, online in left.items()}


def _requests(usages: Iterable[_Usage]) -> Requests:
    total = Requests()
    for usage in usages:
        total += _amounts(parse_quantity(usage.cpu, "cpu"), parse_quantity(usage.memory, "memory"))
    return total


def _amounts(cores: float, memory_bytes: float) -> Requests:
    return Requests(round(min(cores, LARGEST) * 1000), round(min(memory_bytes, LARGEST)))


def _by_node(rows: _Rows) -> dict[str, float]:
    return {labels["node"]: value for labels, value in rows if labels.get("node")}


def _by_pod(rows: _Rows) -> dict[PodKey, float]:
    return {(labels.get("namespace", ""), labels.get("pod", "")): value for labels, value in rows}


def _of_all_pods(cpu_rows: _Rows, memory_rows: _Rows) -> dict[PodKey, Requests]:
    cpu, memory = _by_pod(cpu_rows), _by_pod(memory_rows)
    return {pod: _amounts(cpu.get(pod, 0.0), memory.get(pod, 0.0)) for pod in cpu | memory}
