"""Lists and events as the API server sends them in protobuf: written here byte by byte, by Kubernetes' field numbers."""

from datetime import UTC, datetime

import pytest

from ecoserve.api.labels import DECISION
from ecoserve_extender.cache.events import ApiStatusError, Event
from ecoserve_extender.cache.protobuf import NODES, PODS, UnreadableError
from ecoserve_extender.cache.records import Requests, bound_pod, node_record, pending_pod


def varint(value):
    more = value >> 7
    return bytes([value & 127 | 128]) + varint(more) if more else bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def entry(number, key, value):
    return field(number, field(1, key) + field(2, value))


def requests(**amounts):
    return b"".join(entry(2, key, field(1, value)) for key, value in amounts.items())


def listed(*items, version="7", more=""):
    body = field(1, field(2, version) + field(3, more)) + b"".join(field(2, item) for item in items)
    return b"k8s\x00" + field(1, field(1, "v1")) + field(2, body)


def event(kind, body, magic=b"k8s\x00"):
    told = field(1, kind) + field(2, field(1, magic + field(1, field(1, "v1")) + field(2, body)))
    return len(told).to_bytes(4, "big") + told


CONTAINER = field(1, "main") + field(8, requests(cpu="250m", memory="1Gi"))
SIDECAR = field(24, "Always") + field(8, requests(cpu="1"))
META = (
    field(1, "job")
    + field(3, "batch")
    + field(5, "uid-1")
    + field(6, "41")
    + field(8, field(1, 1_700_000_000))
    + entry(11, "ecoserve.dev/class", "offline")
    + entry(12, "other", "x")
    + entry(12, DECISION, "{}")
    + field(13, field(5, "v1") + field(1, "DaemonSet") + field(6, 1))
    + field(17, field(1, "kubectl"))
)
SPEC = (
    field(2, CONTAINER)
    + field(3, "Never")
    + field(10, "n1")
    + field(19, "ecoserve")
    + field(20, SIDECAR)
    + entry(32, "cpu", field(1, "10m"))
    + field(39, field(1, "gpu"))
)
POD = field(1, META) + field(2, SPEC) + field(3, field(1, "Running") + field(7, field(1, 1_700_000_060)))


def test_all_that_is_read_of_a_pod():
    part = PODS.read_list(listed(POD, more="token"))
    (pod,) = part.items
    assert (part.version, part.more) == ("7", "token")
    record = bound_pod(pod)
    assert record is not None
    assert (record.key, record.uid, record.node, record.offline) == ("batch/job", "uid-1", "n1", True)
    assert record.requests == Requests(1_260, 2**30)
    assert not record.keeps_node_on
    assert not record.leaving
    assert datetime.fromtimestamp(record.started, UTC) == datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)
    assert pending_pod(pod).claims_devices
    assert pod.metadata.resource_version == "41"
    assert pod.metadata.annotations.decision == "{}"
    assert pod.spec.scheduler_name == "ecoserve"


def test_amounts_of_the_whole_pod_and_its_end():
    ends = field(1, META + field(9, field(1, 1_700_000_100)))
    (pod,) = PODS.read_list(listed(ends + field(2, SPEC + field(40, requests(cpu="3"))))).items
    record = bound_pod(pod)
    assert record is not None
    assert record.leaving
    assert record.requests == Requests(3_010, 2**30)
    (done,) = PODS.read_list(listed(field(1, META) + field(2, SPEC) + field(3, field(1, "Succeeded")))).items
    assert bound_pod(done) is None


def test_an_annotation_that_is_no_text_is_no_decision(world):
    world.node("n1")
    (pod,) = PODS.read_list(listed(field(1, entry(12, DECISION, b"\xff") + META) + field(2, SPEC))).items
    world.pods.put(pod)
    world.now += 60
    world.landings.settle()
    assert world.decision()["node"] == "n1"


def test_a_pod_of_which_next_to_nothing_is_said():
    (pod,) = PODS.read_list(listed(field(1, field(1, "p")))).items
    assert bound_pod(pod) is None
    assert not pending_pod(pod).claims_devices


@pytest.mark.parametrize(
    ("seconds", "end"),
    [(10**15, datetime(9999, 12, 31, tzinfo=UTC)), (-(10**15), datetime(1970, 1, 1, tzinfo=UTC))],
)
def test_a_time_beyond_the_calendar_is_its_end(seconds, end):
    started = field(3, field(7, field(1, seconds)))
    (pod,) = PODS.read_list(listed(field(1, field(1, "p")) + started)).items
    assert pod.status.start_time == end


def test_a_node():
    status = field(
        3,
        b"".join(
            entry(2, key, field(1, value)) for key, value in {"cpu": "8", "nvidia.com/gpu": "2"}.items()
        ),
    )
    part = NODES.read_list(listed(field(1, field(1, "n1") + entry(11, "zone", "a")) + status, more="token"))
    (node,) = part.items
    assert (part.version, part.more) == ("7", "token")
    record = node_record(node)
    assert (record.name, record.labels, record.allocatable) == ("n1", {"zone": "a"}, Requests(8_000, 0, 2))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"k8s\x00\xff\xff", listed(POD)[:-3], b"k8s\x00" + field(2, b"\x0a\xff")]
)
def test_what_is_no_list_is_said_to_be_none(body):
    with pytest.raises(UnreadableError):
        PODS.read_list(body)


@pytest.mark.parametrize("size", [1, 5, 100, 10_000])
def test_a_stream_of_events_is_read_however_it_is_cut(size):
    (pod,) = PODS.read_list(listed(POD)).items
    stream = event("ADDED", POD) + event("DELETED", POD) + event("BOOKMARK", field(1, field(6, "77")))
    rest, read = b"", []
    for at in range(0, len(stream), size):
        whole, rest = PODS.split(rest + stream[at : at + size])
        read += map(PODS.read, whole)
    assert rest == b""
    assert read == [Event("41", pod, gone=False), Event("41", pod, gone=True), Event("77", None, gone=False)]


def test_an_error_of_a_stream_is_told_with_its_status():
    (told,), _ = NODES.split(event("ERROR", field(3, "too old resource version") + field(6, 410)))
    with pytest.raises(ApiStatusError, match="410: too old resource version") as raised:
        NODES.read(told)
    assert raised.value.status == 410


@pytest.mark.parametrize(
    "garbage", [event("ADDED", POD, magic=b""), event("ADDED", b"\xff"), b"\0\0\0\x01\xff"]
)
def test_an_event_that_is_no_protobuf_is_said_to_be_unreadable(garbage):
    (told,), _ = PODS.split(garbage)
    with pytest.raises(UnreadableError):
        PODS.read(told)
