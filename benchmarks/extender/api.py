"""What the benchmark asks of the API server: nodes and pods by the thousand, when pods were bound, and to collect its garbage."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from rich.progress import Progress

from ecoserve_devcluster import Cluster

_AT_ONCE = 48
_POLL_SECONDS = 5
"""A list of 5,000 nodes costs the API server a second of CPU: asking more often would slow what is waited for."""
_LOOK_SECONDS = 0.25
_ALLOCATED = "go_memstats_alloc_bytes_total "
FLEET = "benchmarks.ecoserve.dev/fleet"


def api_client(cluster: Cluster) -> aiohttp.ClientSession:
    """Return a client with the administrator's certificate."""
    loaded = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    user, server = loaded["users"][0]["user"], loaded["clusters"][0]["cluster"]
    context = ssl.create_default_context(cafile=server["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    return aiohttp.ClientSession(
        server["server"],
        connector=aiohttp.TCPConnector(ssl=context, limit=_AT_ONCE),
        timeout=aiohttp.ClientTimeout(total=120),
        read_bufsize=2**20,
    )


async def _each(
    title: str, items: Iterable[Any], work: Callable[[Any], Awaitable[None]], progress: Progress
) -> None:
    waiting = list(items)
    task = progress.add_task(title, total=len(waiting))

    async def worker() -> None:
        while waiting:
            await work(waiting.pop())
            progress.advance(task)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(worker())
    progress.remove_task(task)


async def _called(client: aiohttp.ClientSession, method: str, path: str, body: Any) -> None:
    for attempt in range(5):
        async with client.request(method, path, json=body) as answer:
            if answer.status in (200, 201, 404, 409):
                return
            told = await answer.text()
        await asyncio.sleep(0.2 * 2**attempt)
    raise RuntimeError(f"{path}: {answer.status} {told[:300]}")


async def _got(client: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with client.get(path, params=query) as answer:
        return await answer.json()


async def collect_garbage(client: aiohttp.ClientSession) -> None:
    """Have the API server collect its garbage now."""
    async with client.get("/debug/pprof/heap", params={"gc": "1"}) as answer:
        answer.raise_for_status()
        await answer.read()


async def allocated_bytes(client: aiohttp.ClientSession) -> float:
    """Return what the API server has allocated since it started."""
    async with client.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.removeprefix(_ALLOCATED)) for line in lines if line.startswith(_ALLOCATED))


async def create_nodes(client: aiohttp.ClientSession, first: int, count: int, progress: Progress) -> None:
    """Create CPU nodes number `first` and up, in five zones, and wait until they are Ready."""
    resources = {"cpu": "192", "memory": "768Gi", "pods": "250"}

    async def create(number: int) -> None:
        name = f"node-{number:05}"
        labels = {
            FLEET: "yes",
            "kubernetes.io/hostname": name,
            "node.kubernetes.io/instance-type": "m7i.48xlarge",
            "topology.kubernetes.io/zone": f"zone-{number % 5}",
        }
        metadata = {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}}
        status = {"allocatable": resources, "capacity": resources}
        await _called(client, "POST", "/api/v1/nodes", {"metadata": metadata, "status": status})

    await _each(f"creating {count:,} nodes", range(first, first + count), create, progress)
    waiting = progress.add_task("waiting for nodes", total=first + count)
    while True:
        found = (await _got(client, "/api/v1/nodes", resourceVersion="0"))["items"]
        ready = sum(
            any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
            for node in found
        )
        progress.update(waiting, completed=ready)
        if ready >= first + count:
            break
        await asyncio.sleep(_POLL_SECONDS)
    progress.remove_task(waiting)


async def create_pods(
    client: aiohttp.ClientSession,
    namespace: str,
    count: int,
    progress: Progress,
    *,
    scheduler: str,
    resources: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    nodes: Callable[[int], str] | None = None,
) -> None:
    """Create pods; `nodes` binds them as they are made."""
    extended = dict.fromkeys(resources, "1")
    container = {
        "name": "main",
        "image": "pause",
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi", **extended}, "limits": extended},
    }

    async def create(number: int) -> None:
        spec: dict[str, Any] = {"schedulerName": scheduler, "containers": [container]}
        if nodes is not None:
            spec["nodeName"] = nodes(number)
        metadata = {"name": f"pod-{number:05}", "labels": labels or {}}
        await _called(
            client, "POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": metadata, "spec": spec}
        )

    await _each(f"creating {count:,} pods", range(count), create, progress)


async def bind_times(client: aiohttp.ClientSession, namespace: str, count: int) -> list[float]:
    """Wait until the namespace's pods are bound, and return when each was, in order, in seconds.

    By kube-scheduler's own clock, as its events tell it. A watch of ours would have to share two cores with what it measures,
    and the API server ends one that falls behind.
    """
    unbound = {"fieldSelector": "spec.nodeName=", "limit": "1"}
    while (await _got(client, f"/api/v1/namespaces/{namespace}/pods", **unbound))["items"]:
        await asyncio.sleep(_LOOK_SECONDS)
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    while len(found := (await _got(client, path, fieldSelector="reason=Scheduled"))["items"]) < count:
        await asyncio.sleep(_LOOK_SECONDS)
    return sorted(datetime.fromisoformat(event["eventTime"]).timestamp() for event in found)


async def delete_pods(client: aiohttp.ClientSession, namespace: str, count: int, progress: Progress) -> None:
    """Delete the namespace's pods at once, and wait until they are gone."""
    path = f"/api/v1/namespaces/{namespace}/pods"

    async def delete(number: int) -> None:
        await _called(client, "DELETE", f"{path}/pod-{number:05}", {"gracePeriodSeconds": 0})

    await _each("deleting pods", range(count), delete, progress)
    while (await _got(client, path, limit="1"))["items"]:
        await asyncio.sleep(0.5)
