"""No write passes that another leader would not expect: by time, by token, by the object's version."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from ecoserve.api.manifests import parse_serving
from ecoserve_operator.acting.apply import carry_out
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.fence import Fence, LeaseLostError
from ecoserve_operator.kube import LEASE, NODE, ApiRefusedError, ApiUnreachableError, Kind, KubeApi
from ecoserve_operator.watch.records import DeploymentRecord, deployment_record

SERVING = parse_serving(
    {
        "metadata": {"name": "s", "namespace": "n", "uid": "u"},
        "spec": {
            "model": {"name": "m"},
            "offline": {"load": {"requestsPerSecond": 1, "lengths": "azure-code-2023"}},
            "template": {"spec": {"containers": [{"name": "engine", "image": "x"}]}},
        },
    }
)
WANTED = Wanted(
    namespace="n",
    serving="s",
    configuration="n/s/p/both/tp1/online",
    pool="p",
    selector=(),
    role="both",
    traffic_class="online",
    scheduling_class="online",
    tensor_parallel=1,
    cpu_cores=1.0,
    memory_gib=1.0,
    replicas=2,
)


class _Server:
    """One Deployment on an API server that refuses writes of a version that is none any more."""

    def __init__(self, token: int) -> None:
        self.fence = Fence(lambda: 0.0)
        self.fence.open(until=1.0, token=token)
        self.body: dict[str, Any] | None = None
        self.version = 0
        self.writes = 0

    def status_changes(self, times: int = 1) -> None:
        """What a Deployment's controller does while we look elsewhere."""
        self.version += times

    async def get(self, kind: Kind, name: str, namespace: str) -> dict[str, Any] | None:
        assert (kind.plural, name, namespace) == ("deployments", WANTED.key[1], "n")
        return self.shown() if self.body is not None else None

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], *, force: bool = True) -> dict[str, Any]:
        assert not force, "nobody else has taken a field"
        assert kind.plural == "deployments"
        expected = manifest["metadata"].get("resourceVersion")
        if expected is not None and expected != str(self.version):
            raise ApiRefusedError(409, "the object has been modified")
        self.body = {**manifest, "metadata": {**manifest["metadata"], "uid": "d", "generation": 1}}
        self.version += 1
        self.writes += 1
        return self.shown()

    def shown(self) -> dict[str, Any]:
        assert self.body is not None
        return {**self.body, "metadata": {**self.body["metadata"], "resourceVersion": str(self.version)}}

    def seen(self) -> dict[Any, DeploymentRecord]:
        return {WANTED.key: deployment_record(self.shown())}


def act(server: _Server, seen: Mapping[Any, DeploymentRecord], replicas: int) -> None:
    wanted = replace(WANTED, replicas=replicas)
    asyncio.run(carry_out(server, SERVING, [wanted], seen, 1.0))  # type: ignore[arg-type]  # a fake of two methods


def test_what_is_written_bears_the_leaders_token() -> None:
    server = _Server(token=7)
    act(server, {}, 2)
    assert deployment_record(server.shown()).token == 7


def test_a_version_that_only_the_controller_changed_is_read_anew_and_written() -> None:
    server = _Server(token=7)
    act(server, {}, 2)
    seen = server.seen()
    server.status_changes(3)
    act(server, seen, 4)
    assert server.shown()["spec"]["replicas"] == 4


@pytest.mark.parametrize("knows", [True, False], ids=["seen before", "only the server knows"])
def test_what_a_later_leader_wrote_is_left_alone(knows: bool) -> None:
    server = _Server(token=7)
    act(server, {}, 2)
    seen = server.seen()
    server.fence.open(until=1.0, token=8)
    act(server, seen, 3)
    server.fence.open(until=1.0, token=7)
    with pytest.raises(LeaseLostError, match="leader 8 has written"):
        act(server, server.seen() if knows else seen, 5)
    assert server.shown()["spec"]["replicas"] == 3


def test_time_that_is_over_lets_nothing_pass_until_the_lease_is_held_again() -> None:
    now = [0.0]
    fence = Fence(lambda: now[0])
    with pytest.raises(LeaseLostError):
        fence.seconds_left()
    fence.open(until=10.0, token=1)
    now[0] = 9.0
    assert fence.seconds_left() == 1.0
    now[0] = 10.0
    with pytest.raises(LeaseLostError):
        fence.seconds_left()
    fence.open(until=20.0, token=1)
    assert fence.seconds_left() == 10.0
    fence.close()
    with pytest.raises(LeaseLostError):
        fence.seconds_left()


def test_only_the_lease_is_written_and_all_is_read_without_leading() -> None:
    async def run() -> None:
        async with KubeApi(Configuration(host="http://127.0.0.1:1"), 1.0) as api:
            for writing in (api.apply(NODE, {"metadata": {"name": "x"}}), api.delete(NODE, "x")):
                with pytest.raises(LeaseLostError):
                    await writing
            for passing in (api.get(NODE, "x"), api.create(LEASE, {"metadata": {"namespace": "n"}})):
                with pytest.raises(ApiUnreachableError):
                    await passing

    asyncio.run(run())
