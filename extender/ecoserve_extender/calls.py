"""kube-scheduler's two calls, filter and prioritize, answered as plain ASGI: they are on the path of every pod.

A web framework's middleware, routing and encoding would take longer than deciding does, so that it serves only what is not on
that path. A body that is too long is not read to its end, and calls beyond the rate are refused; the scheduler tries such a pod again.
"""

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

from aiolimiter import AsyncLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ecoserve_extender import wire
from ecoserve_extender.extender import Extender, NotReadyError
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.settings import Limits

NOT_READY = "the watch caches are not filled yet"


class BodyTooLongError(Exception):
    """The body is longer than any that a scheduler sends."""


class Calls:
    """Serves POST /filter and /prioritize, and hands every other path to another application."""

    def __init__(self, extender: Extender, metrics: Metrics, limits: Limits, others: ASGIApp) -> None:
        self._extender = extender
        self._metrics = metrics
        self._limits = limits
        self._others = others
        self._limiter = AsyncLimiter(limits.max_calls_per_second, time_period=1.0)
        self._decide: dict[str, Callable[[bytes], bytes]] = {
            "filter": self._filter,
            "prioritize": self._prioritize,
        }
        self._seconds = {verb: metrics.request_seconds.labels(verb) for verb in self._decide}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        verb = scope.get("path", "")[1:]
        if verb not in self._decide:
            await self._others(scope, receive, send)
            return
        answer = await self._answer(verb, scope, receive)
        if isinstance(answer, bytes):
            await send_json(send, answer)
        else:
            await answer(scope, receive, send)

    async def _answer(self, verb: str, scope: Scope, receive: Receive) -> bytes | Response:
        """Return the encoded decision, or why there is none."""
        if scope["method"] != "POST":
            return _refusal("kube-scheduler calls with POST", HTTPStatus.METHOD_NOT_ALLOWED)
        refused = self._metrics.refused_calls
        if not self._limiter.has_capacity():
            refused.labels(verb, "too_many").inc()
            return _refusal("more calls than any scheduler makes", HTTPStatus.TOO_MANY_REQUESTS)
        await self._limiter.acquire()
        most = self._limits.max_body_bytes
        try:
            body = await read_body(scope, receive, most)
        except BodyTooLongError:
            refused.labels(verb, "too_long").inc()
            told = _refusal(f"body: longer than {most} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            told.headers["Connection"] = "close"  # else the server would go on reading what is refused
            return told
        except ClientDisconnect:
            return _refusal("body: cut off", HTTPStatus.BAD_REQUEST)  # to nobody
        start = perf_counter()
        try:
            return self._decide[verb](body)
        except wire.MalformedRequestError as error:
            refused.labels(verb, "malformed").inc()
            return _refusal(str(error), HTTPStatus.BAD_REQUEST)
        except NotReadyError:
            refused.labels(verb, "not_ready").inc()
            return _refusal(NOT_READY, HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            self._seconds[verb].observe(perf_counter() - start)

    def _filter(self, body: bytes) -> bytes:
        request = wire.decode_request(body, self._extender.state.table)
        passed, rejected = self._extender.filter(request)
        return wire.encode_filter(request, passed, rejected)

    def _prioritize(self, body: bytes) -> bytes:
        request = wire.decode_request(body, self._extender.state.table)
        ranking = self._extender.prioritize(request.pod, request.nodes)
        return wire.encode_priorities(request, ranking)


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """Return the body; raises BodyTooLongError as soon as it is known to be longer than `most` bytes."""
    request = Request(scope, receive)
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise BodyTooLongError
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise BodyTooLongError
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def send_json(send: Send, body: bytes) -> None:
    """Answer 200 with a body; its length is told, so that the scheduler keeps the connection once it has read it."""
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refusal(line: str, status: HTTPStatus) -> Response:
    return Response(line + "\n", status, media_type="text/plain")
