"""Events of a watch, and how a stream of them in JSON is read: a line each, of any length."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from ecoserve_extender.cache.objects import ObjectMeta

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ApiStatusError(Exception):
    """The API server answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"the API server answered {status}: {message}")


@dataclass(frozen=True, slots=True)
class Event(Generic[T_co]):
    """What a watch told: the version to resume from, and the object, new or changed or (`gone`) deleted; none of a bookmark."""

    version: str
    item: T_co | None
    gone: bool


class Events(Protocol[T_co]):
    """How events are told apart and read."""

    def split(self, data: bytes, /) -> tuple[list[bytes], bytes]:
        """Return the events that are whole, and what is left."""

    def read(self, event: bytes, /) -> Event[T_co]:
        """Read one. Raises ApiStatusError where the API server tells of an error, and what its format raises where it can't be read."""


class _Told(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: ObjectMeta


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class JsonEvents(Generic[T]):
    """Events in JSON, their objects as this struct, which has metadata."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the lines that are whole, and what is left."""
        *lines, rest = data.split(b"\n")
        return [line for line in lines if line], rest

    def read(self, event: bytes) -> Event[T]:
        """Read a line; raises ApiStatusError and MsgspecError."""
        told = msgspec.json.decode(event, type=_Told)
        if told.type == "ERROR":
            status = msgspec.json.decode(told.object, type=_Status)
            raise ApiStatusError(status.code, status.message)
        version = msgspec.json.decode(told.object, type=_Bookmark).metadata.resource_version
        item = None if told.type == "BOOKMARK" else self._decoder.decode(told.object)
        return Event(version, item, told.type == "DELETED")
