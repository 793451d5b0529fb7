"""Lists and events of pods and nodes as protobuf, which costs the API server less than JSON does: most of a restart is its work, and
an event that it sends to schedulers and kubelets as protobuf is encoded once for all of them.

Declared is what `objects.py` reads, by the field numbers of Kubernetes' generated.proto (k8s.io/api/core/v1 and
k8s.io/apimachinery, stable for good); everything else is skipped by the library.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from msgspec import Raw

from ecoserve.api.labels import DECISION
from ecoserve_extender.cache.events import ApiStatusError, Event
from ecoserve_extender.cache.objects import (
    Annotations,
    Container,
    Node,
    NodeStatus,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
    Quantity,
    ResourceRequirements,
)

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
STREAM_TYPE = f"{MEDIA_TYPE};stream=watch"
_MAGIC = b"k8s\x00"
_LENGTH_BYTES = 4
_PACKAGE = "ecoserve.extender"
_LATEST_SECONDS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())

_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Envelope": {"raw": (2, "bytes")},
    "WatchEvent": {"type": (1, "string"), "object": (2, "RawObject")},
    "RawObject": {"raw": (1, "bytes")},  # an envelope again
    "Status": {"message": (3, "string"), "code": (6, "int32")},
    "Bookmark": {"metadata": (1, "Meta")},
    "ListMeta": {"version": (2, "string"), "more": (3, "string")},
    "PodList": {"metadata": (1, "ListMeta"), "items": (2, "Pod*")},
    "NodeList": {"metadata": (1, "ListMeta"), "items": (2, "Node*")},
    "Pod": {"metadata": (1, "Meta"), "spec": (2, "PodSpec"), "status": (3, "PodStatus")},
    "Node": {"metadata": (1, "Meta"), "status": (3, "NodeStatus")},
    "Meta": {
        "name": (1, "string"),
        "namespace": (3, "string"),
        "uid": (5, "string"),
        "version": (6, "string"),
        "deleted": (9, "Time"),
        "labels": (11, "Text*"),
        "annotations": (12, "Text*"),
        "owners": (13, "Owner*"),
    },
    "Owner": {"kind": (1, "string"), "controller": (6, "bool")},
    "PodSpec": {
        "containers": (2, "Container*"),
        "node": (10, "string"),
        "scheduler": (19, "string"),
        "init_containers": (20, "Container*"),
        "overhead": (32, "Amount*"),
        "claims": (39, "bytes*"),
        "resources": (40, "Resources"),
    },
    "Container": {"resources": (8, "Resources"), "restart_policy": (24, "string")},
    "Resources": {"requests": (2, "Amount*")},
    "PodStatus": {"phase": (1, "string"), "started": (7, "Time")},
    "NodeStatus": {"allocatable": (2, "Amount*")},
    "Time": {"seconds": (1, "int64")},
    "Text": {"key": (1, "string"), "value": (2, "string")},  # an entry of a map
    "Amount": {"key": (1, "string"), "value": (2, "Quantity")},  # the same
    "Quantity": {"text": (1, "string")},
}
"""Number and type of each field; `*` marks those that repeat."""


def _classes() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE)
    for name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=name)
        for key, (number, kind) in fields.items():
            plain = kind.rstrip("*")
            one = declared.field.add(name=key, number=number)
            one.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            if plain in _MESSAGES:
                one.type, one.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
            else:
                one.type = getattr(field, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _classes()
T = TypeVar("T")


class UnreadableError(Exception):
    """The API server's answer is no such protobuf."""


@dataclass(frozen=True, slots=True)
class ListPart(Generic[T]):
    """One page of a list: its version, the token of the next one, and the objects, read one by one as they are taken."""

    version: str
    more: str
    items: Iterator[T]


class Protobuf(Generic[T]):
    """How lists and events of a kind are read, its objects as `convert` makes them."""

    def __init__(self, kind: str, convert: Callable[[Any], T]) -> None:
        self._kind = kind
        self._convert = convert

    def read_list(self, body: bytes) -> ListPart[T]:
        """Read a page; raises UnreadableError."""
        page = _opened(body, f"{self._kind}List")
        return ListPart(page.metadata.version, page.metadata.more, map(self._convert, page.items))

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the events that are whole, and what is left: each comes after its length, in four bytes."""
        events, at = [], 0
        while (begin := at + _LENGTH_BYTES) <= len(data):
            end = begin + int.from_bytes(data[at:begin], "big")
            if end > len(data):
                break
            events.append(data[begin:end])
            at = end
        return events, data[at:]

    def read(self, event: bytes) -> Event[T]:
        """Read an event; raises ApiStatusError and UnreadableError."""
        told = _parsed("WatchEvent", event)
        if told.type == "ERROR":
            status = _opened(told.object.raw, "Status")
            raise ApiStatusError(status.code, status.message)
        if told.type == "BOOKMARK":
            return Event(_opened(told.object.raw, "Bookmark").metadata.version, None, gone=False)
        found = _opened(told.object.raw, self._kind)
        return Event(found.metadata.version, self._convert(found), gone=told.type == "DELETED")


def refusal(body: bytes) -> str:
    """Return what the API server says of a refusal: a Status where it is one, else the text."""
    try:
        return str(_opened(body, "Status").message)
    except UnreadableError:
        return body.decode(errors="replace")


def _opened(body: bytes, kind: str) -> Any:
    if not body.startswith(_MAGIC):
        raise UnreadableError("an object in protobuf begins with k8s and a zero")
    return _parsed(kind, _parsed("Envelope", body[len(_MAGIC) :]).raw)


def _parsed(kind: str, body: bytes) -> Any:
    try:
        return _CLASSES[kind].FromString(body)
    except message.DecodeError as error:
        raise UnreadableError(str(error)) from None


def _pod(pod: Any) -> Pod:
    spec, status = pod.spec, pod.status
    return Pod(
        metadata=_metadata(pod.metadata),
        spec=PodSpec(
            node_name=spec.node,
            scheduler_name=spec.scheduler,
            containers=_containers(spec.containers),
            init_containers=_containers(spec.init_containers),
            resources=_resources(spec),
            overhead=_amounts(spec.overhead),
            resource_claims=[Raw(claim) for claim in spec.claims],
        ),
        status=PodStatus(phase=status.phase, start_time=_time(status, "started")),
    )


def _node(node: Any) -> Node:
    return Node(_metadata(node.metadata), NodeStatus(_amounts(node.status.allocatable)))


def _metadata(meta: Any) -> ObjectMeta:
    # Annotations may hold anything; what is no UTF-8 comes as bytes.
    decision = next((str(each.value) for each in meta.annotations if each.key == DECISION), None)
    return ObjectMeta(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.version,
        labels={each.key: each.value for each in meta.labels},
        annotations=Annotations(decision),
        owner_references=[OwnerReference(each.kind, each.controller) for each in meta.owners],
        deletion_timestamp=_time(meta, "deleted"),
    )


def _containers(containers: Iterable[Any]) -> list[Container]:
    return [Container(_resources(each), each.restart_policy) for each in containers]


def _resources(holder: Any) -> ResourceRequirements | None:
    return ResourceRequirements(_amounts(holder.resources.requests)) if holder.HasField("resources") else None


def _amounts(amounts: Iterable[Any]) -> dict[str, Quantity]:
    return {each.key: each.value.text for each in amounts}


def _time(holder: Any, field: str) -> datetime | None:
    if not holder.HasField(field):
        return None
    seconds = getattr(holder, field).seconds
    return datetime.fromtimestamp(min(max(seconds, 0), _LATEST_SECONDS), UTC)


PODS = Protobuf("Pod", _pod)
NODES = Protobuf("Node", _node)
