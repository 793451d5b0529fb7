"""List and watch one kind of object, decoding each straight into a small struct.

The client library brings credentials, TLS and connections. Its informer is not used: it holds every object whole
(generated models of 50,000 pods are gigabytes), and its watch doesn't notice a connection that went silent.

Pods and nodes come as protobuf. The list is read in pages, each asked for while the one before is taken in, and ended by pruning what is gone; the watch then
goes on from the list's version. A watch that ends or breaks is resumed from the last version seen; 410 Gone, or an event that tells of an error or can't be read,
lists anew. Bookmarks arrive about every minute: a watch that stays silent for longer is dead, however healthy its socket looks.

Most events tell of pods of others. Coming back to each one by itself, with the processor's caches cold, costs more than taking it in
does: where nobody waits for them, events are left to gather for a moment.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Set
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Generic, Protocol, TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from ecoserve.errors import InvalidInputError
from ecoserve_extender.api_server import asked
from ecoserve_extender.cache.events import ApiStatusError, Event, Events, JsonEvents
from ecoserve_extender.cache.objects import ObjectMeta
from ecoserve_extender.cache.protobuf import (
    MEDIA_TYPE,
    STREAM_TYPE,
    ListPart,
    Protobuf,
    UnreadableError,
    refusal,
)
from ecoserve_extender.cache.server_clock import ServerClock

logger = logging.getLogger(__name__)

_JSON = "application/json"
_PAGE = 4_000
"""Objects per page, six to thirty megabytes of pods, two pages held at a time: the API server looks through all that is left of the list for each."""
_AT_ONCE = 50  # objects, about a millisecond
_ERROR_SHOWN = 300  # characters
_GATHER_SECONDS = 0.1  # much less than a node's load moves in
_LITTLE_BYTES = 2**16  # a few pods, and much less than the client library holds before it stops reading
_WATCH_SECONDS = 300  # the server ends a watch then; reopening spreads watches over API servers


class EmptyWatchError(Exception):
    """A watch ended before its first bookmark: reopened at once, it might end so again and again."""


class KubernetesObject(Protocol):
    """Anything with metadata."""

    @property
    def metadata(self) -> ObjectMeta:
        """Identity of the object."""


T = TypeVar("T", bound=KubernetesObject)
T_contra = TypeVar("T_contra", bound=KubernetesObject, contravariant=True)


class Sink(Protocol[T_contra]):
    """Where objects go."""

    def key(self, item: T_contra, /) -> str:
        """Return what an object is known by."""

    def put(self, item: T_contra, /) -> None:
        """Take an object, new or changed. May raise InvalidInputError: it is skipped."""

    def remove(self, item: T_contra, /) -> None:
        """Take note that an object is gone."""

    def keep_only(self, keys: Set[str], /) -> None:
        """Forget all objects but these: a list has ended."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, Generic[T]):
    metadata: _ListMeta
    items: list[T] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Generic[T]):
    """What to watch: the API path of the list, its field selector, and the struct to decode into."""

    name: str
    path: str
    kind: type[T]
    field_selector: str | None = None
    protobuf: Protobuf[T] | None = None
    """How built-in objects are read where the API server sends them as protobuf; custom ones are JSON only."""
    optional: bool = False
    """Whether the kind may not be installed: then it counts as an empty list, looked for again and again."""


class Reflector(Generic[T]):
    """Keeps a sink in step with the API server; `run` never returns."""

    def __init__(
        self,
        client: ApiClient,
        resource: Resource[T],
        sink: Sink[T],
        *,
        silence_seconds: float,
        on_restart: Callable[[], None],
        urgent: Callable[[], bool],
        clock: ServerClock,
    ) -> None:
        """`urgent` tells whether somebody waits for events, so that each is to be taken in at once."""
        self.resource = resource
        self.synced = asyncio.Event()
        self._client = client
        self._sink = sink
        self._on_restart = on_restart
        self._urgent = urgent
        self._clock = clock
        self._version: str | None = None
        self._heard = monotonic()
        self._json_events = JsonEvents(resource.kind)
        self._page_decoder = msgspec.json.Decoder(_Page[resource.kind])  # type: ignore[name-defined]
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=silence_seconds)

    def age_seconds(self) -> float:
        """Return the seconds since the API server was last heard."""
        return monotonic() - self._heard

    async def run(self) -> None:
        """Follow the API server for ever, backing off from a second to ten while it fails."""
        while True:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_TRANSIENT),
                wait=wait_random_exponential(multiplier=0.5, max=10),
                before_sleep=self._restarting,
            ):
                with attempt:
                    await self._follow()

    async def _follow(self) -> None:
        try:
            if self._version is None:
                self._version = await self._list()
                self.synced.set()
            await self._watch()
        except ApiStatusError as error:
            if error.status == HTTPStatus.GONE:
                self._version = None
            elif error.status == HTTPStatus.NOT_FOUND and self.resource.optional:
                self._sink.keep_only(frozenset())
                self._version = None
                self._heard = monotonic()
                self.synced.set()
            raise

    async def _list(self) -> str:
        """Read all pages into the sink, prune what is gone, and return the version to watch from."""
        keys: set[str] = set()
        version = ""
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                for count, item in enumerate(page.items):
                    keys.add(self._sink.key(item))
                    self._put(item)
                    if count % _AT_ONCE == 0:
                        await asyncio.sleep(
                            0
                        )  # questions are answered, and the next page is asked for, in between
                version = page.version
        self._sink.keep_only(keys)
        logger.info("listed", extra={"resource": self.resource.name, "count": len(keys)})
        return version

    async def _pages(self) -> AsyncGenerator[ListPart[T]]:
        """Give out the pages of the list; the API server makes the next one meanwhile."""
        asked: asyncio.Task[ListPart[T]] | None = asyncio.create_task(self._page(""))
        try:
            while asked is not None:
                page = await asked
                asked = asyncio.create_task(self._page(page.more)) if page.more else None
                yield page
        finally:
            if asked is not None:
                asked.cancel()

    async def _page(self, token: str) -> ListPart[T]:
        query = {"limit": str(_PAGE)} | ({"continue": token} if token else {})
        async with self._get(query, MEDIA_TYPE) as response:
            body = await response.read()
            self._heard = monotonic()
            protobuf = self._protobuf_of(response)
            if protobuf is not None:
                return protobuf.read_list(body)
        page = self._page_decoder.decode(body)
        about = page.metadata
        return ListPart(about.resource_version, about.continue_token, iter(page.items or ()))

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
            "resourceVersion": self._version or "",
        }
        async with self._get(query, STREAM_TYPE) as response:
            self._heard = monotonic()
            events: Events[T] = self._protobuf_of(response) or self._json_events
            empty = True
            try:
                async for event in _events(response, events, self._urgent):
                    empty = False
                    self._heard = monotonic()
                    self._take(events.read(event))
            except (ApiStatusError, msgspec.MsgspecError, UnreadableError):
                self._version = None  # from the same version on the same would come again
                raise
        if empty:
            raise EmptyWatchError("the watch ended without an event")

    def _take(self, event: Event[T]) -> None:
        self._version = event.version
        if event.item is None:
            return
        if event.gone:
            self._sink.remove(event.item)
        else:
            self._put(event.item)

    def _protobuf_of(self, response: aiohttp.ClientResponse) -> Protobuf[T] | None:
        """Return how to read an answer that is protobuf."""
        return self.resource.protobuf if response.content_type == MEDIA_TYPE else None

    def _put(self, item: T) -> None:
        try:
            self._sink.put(item)
        except InvalidInputError as error:
            about = {"resource": self.resource.name, "object": item.metadata.name, "error": str(error)}
            logger.error("object skipped; what was known before stays in use", extra=about)

    @asynccontextmanager
    async def _get(self, query: dict[str, str], preferred: str) -> AsyncIterator[aiohttp.ClientResponse]:
        if self.resource.field_selector is not None:
            query = query | {"fieldSelector": self.resource.field_selector}
        accept = _JSON if self.resource.protobuf is None else f"{preferred},{_JSON}"
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        async with asked(
            self._client, "GET", self.resource.path, query=query, headers=headers, timeout=self._timeout
        ) as response:
            if response.status != HTTPStatus.OK:
                told = refusal(await response.read())
                raise ApiStatusError(response.status, told[:_ERROR_SHOWN].strip())
            self._clock.hear(response.headers.get("Date", ""))
            yield response

    def _restarting(self, attempt: RetryCallState) -> None:
        self._on_restart()
        error = attempt.outcome.exception() if attempt.outcome else None
        logger.warning(
            "watch restarts",
            extra={"resource": self.resource.name, "error": str(error) or type(error).__name__},
        )


_TRANSIENT = (
    ApiStatusError,
    EmptyWatchError,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    msgspec.MsgspecError,
    UnreadableError,
)


async def _events(
    response: aiohttp.ClientResponse, events: Events[T], urgent: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Split a stream into events.

    After a little that nobody waits for, more is left to gather; a stream that has more to give is read on.
    """
    rest = b""
    async for chunk in response.content.iter_any():
        whole, rest = events.split(rest + chunk)
        for event in whole:
            yield event
        if len(chunk) < _LITTLE_BYTES and not urgent():
            await asyncio.sleep(_GATHER_SECONDS)
