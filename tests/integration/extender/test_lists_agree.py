"""Lists and watches are read as protobuf, and as JSON where there is none: what is read of an object must be the same, whichever it was."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
import pytest
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from ecoserve.api.labels import CARBON_AWARE_RESOURCE, DECISION, SCHEDULER_NAME
from ecoserve_extender.cache.informers import NODES, PODS
from ecoserve_extender.cache.reflector import Reflector
from ecoserve_extender.cache.server_clock import ServerClock

pytestmark = pytest.mark.devcluster

_FINALIZER = "tests.ecoserve.dev/keep"


class Never(msgspec.Struct):
    """What no object says in JSON: it is read as protobuf, or not at all."""

    never: str


class Kept:
    """Keeps what a list and a watch gave, by UID, and how often the watch had to begin anew."""

    def __init__(self):
        self.items = {}
        self.restarts = 0

    def key(self, item):
        return item.metadata.uid

    def put(self, item):
        self.items[self.key(item)] = item

    def remove(self, item):
        del self.items[item.metadata.uid]

    def keep_only(self, keys):
        assert keys == self.items.keys()

    def restart(self):
        self.restarts += 1


def both_ways(resource):
    """A resource as protobuf alone, and as JSON alone."""
    return dataclasses.replace(resource, kind=Never), dataclasses.replace(resource, protobuf=None)


@asynccontextmanager
async def followed(kubeconfig, resource) -> AsyncIterator[Kept]:
    """List a resource as the extender does, and go on watching."""
    configuration = Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    async with ApiClient(configuration) as client:
        sink = Kept()
        reflector = Reflector(
            client,
            resource,
            sink,
            silence_seconds=30.0,
            on_restart=sink.restart,
            urgent=lambda: True,
            clock=ServerClock(time.time),
        )
        following = asyncio.create_task(reflector.run())
        try:
            await asyncio.wait_for(reflector.synced.wait(), 30)
            yield sink
        finally:
            # It waits for connections that are in use, not for those that a cancelled watch gave up.
            await client.close()
            following.cancel()
            await asyncio.wait([following])


def listed(kubeconfig, resource):
    """What a list gives."""

    async def scenario():
        async with followed(kubeconfig, resource) as kept:
            return dict(kept.items)

    return asyncio.run(scenario())


def both(bench, resource):
    """The same objects read of a list in protobuf and of one in JSON, none of which changed in between."""

    def alike():
        protobuf, json = (listed(bench.cluster.kubeconfig, each) for each in both_ways(resource))
        return (protobuf, json) if versions(protobuf) == versions(json) else None

    return bench.until(alike, "two lists of the same versions")


def versions(items):
    return {uid: item.metadata.resource_version for uid, item in items.items()}


def said(value):
    """What an object says: nothing, zero, empty and false are the same, as both formats leave them out."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, msgspec.Raw):
        return "a claim"  # only counted
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: found for key, each in value.items() if (found := said(each))}
    if isinstance(value, list):
        return [said(each) for each in value]  # empty ones, too: containers are told apart by their places
    return value


def paths(value, path=()):
    """Where an object says anything, by the names of the fields; keys of labels and amounts are among them."""
    if isinstance(value, dict):
        return {found for key, each in value.items() for found in paths(each, (*path, key))}
    if isinstance(value, list):
        return {found for each in value for found in paths(each, path)}
    return {path} if value else set()


def fields(kind, path=()):
    """All that is declared to be read, by the names of the fields."""
    found = set()
    for field in msgspec.structs.fields(kind):
        inner = [
            each for each in _types(field.type) if isinstance(each, type) and issubclass(each, msgspec.Struct)
        ]
        found |= {deeper for each in inner for deeper in fields(each, (*path, field.name))} or {
            (*path, field.name)
        }
    return found


def _types(kind):
    inner = getattr(kind, "__args__", ())
    return [each for part in inner for each in _types(part)] or [kind]


def unsaid(bench, resource, *names):
    """Hold both lists against each other; return the fields that are read, and that none of these objects tells."""
    protobuf, json = both(bench, resource)
    assert {uid: said(item) for uid, item in protobuf.items()} == {
        uid: said(item) for uid, item in json.items()
    }
    told = {found for item in json.values() if item.metadata.name in names for found in paths(said(item))}
    return {each for each in fields(resource.kind) if not any(found[: len(each)] == each for found in told)}


def full_pod(bench, node):
    """A pod that says all that the extender reads."""
    pod = bench.pod("full", cpu="250m", traffic_class="offline", node=node, app="x")
    owner = bench.cluster.read(f"/api/v1/namespaces/{bench.namespace}/configmaps/kube-root-ca.crt")
    about = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    pod["metadata"] |= {
        "annotations": {"other": "x", DECISION: '{"node":"nowhere"}'},
        "finalizers": [_FINALIZER],
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "controller": True} | about],
    }
    amounts = {"requests": {"cpu": "1500m", "memory": "0.5Gi", "ephemeral-storage": "1M"}}
    pod["spec"] |= {
        "schedulerName": SCHEDULER_NAME,
        "initContainers": [
            {"name": "sidecar", "image": "pause", "restartPolicy": "Always", "resources": amounts},
            {"name": "bare", "image": "pause"},
        ],
        "resources": {"requests": {"cpu": "4", "memory": "3Gi"}},
        "runtimeClassName": bench.namespace,
        "resourceClaims": [{"name": "device", "resourceClaimName": "none"}],
    }
    pod["spec"]["containers"][0]["resources"]["requests"][CARBON_AWARE_RESOURCE] = "1"
    pod["spec"]["containers"][0]["resources"]["limits"][CARBON_AWARE_RESOURCE] = "1"
    return pod


def test_pods_read_of_protobuf_say_what_they_say_in_json(bench):
    node = bench.node("n")
    overhead = {"podFixed": {"cpu": "10m", "memory": "1Mi"}}
    bench.apply(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": bench.namespace},
            "handler": "runc",
            "overhead": overhead,
        }
    )
    bench.apply(full_pod(bench, node), bench.pod("plain", node=node), bench.pod("waits"))
    try:
        bench.until(lambda: bench.pods()["full"]["status"].get("startTime"), "the pod started")
        bench.cluster.kubectl("delete", "pod", "full", "-n", bench.namespace, "--wait=false")
        only_sidecars = ("spec", "containers", "restart_policy")
        assert unsaid(bench, PODS, "full") == {only_sidecars}
    finally:
        patch = '{"metadata":{"finalizers":null}}'
        bench.cluster.kubectl("patch", "pod", "full", "-n", bench.namespace, "--type=merge", "-p", patch)
        bench.cluster.kubectl("delete", "runtimeclass", bench.namespace)


def test_nodes_read_of_protobuf_say_what_they_say_in_json(bench):
    names = bench.node("cpu", zone="a"), bench.node("gpu", gpus=8)
    less = '{"status":{"allocatable":{"cpu":"9500m","memory":"99Gi","pods":"110"}}}'  # than its capacity
    bench.cluster.kubectl("patch", "node", "cpu", "--subresource=status", "--type=merge", "-p", less)
    # What both kinds have in common, and only pods have.
    of_pods = {("metadata", each) for each in ("namespace", "deletion_timestamp")}
    of_pods |= {("metadata", "annotations", "decision")}
    of_pods |= {("metadata", "owner_references", each) for each in ("kind", "controller")}
    assert unsaid(bench, NODES, *names) == of_pods


def test_a_watch_in_protobuf_tells_what_one_in_json_tells(bench):
    node = bench.node("n")

    async def until_both(kept, changed):
        """Wait until both watches have told of a change, and say what they told of the pod."""
        async with asyncio.timeout(30):
            while not (changed(kept[0].items) and versions(kept[0].items) == versions(kept[1].items)):
                await asyncio.sleep(0.05)
                assert not any(each.restarts for each in kept), "an event was not read: a list told of it"
        return [{uid: said(item) for uid, item in each.items.items()} for each in kept]

    def of(items):
        return [item for item in items.values() if item.metadata.name == "told"]

    async def scenario():
        ways = both_ways(PODS)
        async with (
            followed(bench.cluster.kubeconfig, ways[0]) as protobuf,
            followed(bench.cluster.kubeconfig, ways[1]) as json,
        ):
            kept = protobuf, json
            assert not of(protobuf.items)
            await asyncio.to_thread(bench.apply, bench.pod("told", node=node, traffic_class="offline"))
            one, other = await until_both(
                kept, lambda items: any(pod.status.phase == "Running" for pod in of(items))
            )
            assert one == other
            asked = ("delete", "pod", "told", "-n", bench.namespace, "--grace-period=0", "--force")
            await asyncio.to_thread(bench.cluster.kubectl, *asked)
            await until_both(kept, lambda items: not of(items))

    asyncio.run(scenario())
