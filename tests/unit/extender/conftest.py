"""Builders of the values that the extender works on, and a client of its application."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import msgspec
import pytest

from ecoserve.api.labels import CLASS, DECISION
from ecoserve_extender.annotations import Annotation
from ecoserve_extender.app import build_app
from ecoserve_extender.cache.informers import PodSink
from ecoserve_extender.cache.objects import Pod
from ecoserve_extender.cache.plan_view import PlacementView, PlanView, PoolView
from ecoserve_extender.cache.records import BoundPod, NodeRecord, Requests
from ecoserve_extender.extender import Extender
from ecoserve_extender.landings import Landings
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.settings import Limits, Settings

GIB = 2**30


class World:
    """An extender with filled caches, asked over HTTP as kube-scheduler asks."""

    def __init__(self, loop: asyncio.Runner, limits: Limits) -> None:
        self._loop = loop
        self.now = 0.0
        self.written: list[Annotation] = []
        self.metrics = Metrics()
        self.extender = Extender(Settings(), self.metrics, lambda: self.now)
        self.extender.ready = True
        self.state = self.extender.state
        self.landings = Landings(
            self.extender, self.written.append, lambda: self.now, Settings().unasked_seconds
        )
        self.pods = PodSink(self.state, self.landings)
        self._app = build_app(self.extender, self.metrics, limits)

    def node(
        self, name: str, *, millicores: int = 10_000, gib: int = 100, gpus: int = 0, **labels: str
    ) -> str:
        offered = Requests(millicores, gib * GIB, gpus)
        self.state.put_node(NodeRecord(name=name, labels=labels, allocatable=offered))
        return name

    def load(
        self, node: str, *, millicores: int = 0, gib: int = 0, uid: str = "load", **changes: Any
    ) -> BoundPod:
        values: dict[str, Any] = {
            "uid": uid,
            "namespace": "default",
            "name": uid,
            "node": node,
            "offline": False,
            "keeps_node_on": True,
            "requests": Requests(millicores, gib * GIB),
        }
        pod = BoundPod(**(values | changes))
        self.extender.reservations.release(uid)
        self.state.put_pod(pod)
        return pod

    def plan(self, *pools: PoolView, placements: Sequence[PlacementView] = ()) -> None:
        self.extender.take_plan(
            PlanView(id="plan-1", pools={pool.name: pool for pool in pools}, placements=tuple(placements))
        )

    def filter(self, names: Sequence[str], **pod: Any) -> dict[str, Any]:
        answer = self.post("filter", self.args(names, **pod))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def prioritize(self, names: Sequence[str], **pod: Any) -> dict[str, int]:
        answer = self.post("prioritize", self.args(names, **pod))
        assert answer.status_code == 200, answer.text
        return {item["Host"]: item["Score"] for item in answer.json()}

    def see_bound(
        self,
        node: str,
        *,
        scheduler: str = "ecoserve",
        annotations: Mapping[str, str] | None = None,
        **pod: Any,
    ) -> None:
        """Have the watch show the pod on a node."""
        manifest = pod_manifest(**pod)
        manifest["metadata"]["annotations"] = annotations
        manifest["spec"] |= {"nodeName": node, "schedulerName": scheduler}
        self.pods.put(msgspec.convert(manifest, Pod))

    def decision(self) -> dict[str, Any] | None:
        """The decision that was written last; None where none was."""
        if not self.written:
            return None
        assert self.written[-1].key == DECISION
        return json.loads(self.written[-1].value)

    def post(self, verb: str, body: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        return self.request("POST", f"/{verb}", content=content)

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self.request("GET", path, params=parameters)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://extender") as client:
                return await client.request(method, path, **options)

        return self._loop.run(send())

    @staticmethod
    def args(names: Sequence[str], **pod: Any) -> dict[str, Any]:
        return {"Pod": pod_manifest(**pod), "Nodes": None, "NodeNames": list(names)}


def pod_manifest(
    *,
    uid: str = "uid-1",
    name: str = "pod-1",
    cpu: str = "1",
    memory: str = "1Gi",
    gpus: int = 0,
    offline: bool = False,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A v1 Pod as kube-scheduler sends it."""
    requests = {"cpu": cpu, "memory": memory} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "creationTimestamp": None,
            "labels": dict(labels or {}) | ({CLASS: "offline"} if offline else {}),
        },
        "spec": {"containers": [{"name": "main", "resources": {"requests": requests}}]},
        "status": {},
    }


def pool_view(name: str, **changes: Any) -> PoolView:
    """A pool that recognises its nodes by the label `pool`."""
    values: dict[str, Any] = {
        "name": name,
        "selector": (("pool", name),),
        "scalable": True,
        "idle_watts": 100.0,
        "embodied_grams_per_hour": 30.0,
        "watts_per_core_dynamic": 4.0,
        "accelerator_dynamic_watts": 300.0,
        "intensity_grams_per_kwh": 400.0,
        "pue": 1.1,
        "stale": False,
    }
    return PoolView(**(values | changes))


@pytest.fixture(scope="session")
def make_world() -> Iterator[Callable[..., World]]:
    """`make_world(**limits)`: a fresh extender without nodes."""
    with asyncio.Runner() as loop:
        yield lambda **limits: World(loop, Limits(**limits))


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """An extender without nodes."""
    return make_world()


@pytest.fixture(scope="session")
def make_pool() -> Callable[..., PoolView]:
    """`make_pool(name, **changes)`."""
    return pool_view


@pytest.fixture(scope="session")
def make_pod() -> Callable[..., dict[str, Any]]:
    """`make_pod(**changes)`: a v1 Pod."""
    return pod_manifest
