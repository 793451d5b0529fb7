"""HTTP routes. Bodies are read and answered as bytes: FastAPI's own decoding and encoding would cost four times more.

What decides (filter, prioritize) and what only looks (explain, probes, metrics) can be served apart: the first is
for schedulers alone, on loopback or behind client certificates, the second for the kubelet and Prometheus. A body
that is too long is not read to its end, and calls beyond the rate are refused; the scheduler tries such a pod again.
"""

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

import msgspec
from aiolimiter import AsyncLimiter
from fastapi import FastAPI, Request, Response

from ecoserve_extender import metrics as exposition
from ecoserve_extender import wire
from ecoserve_extender.extender import Extender, NotReadyError
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.settings import Limits

_JSON = "application/json"
Decide = Callable[[bytes], bytes]
_NOT_READY = "the watch caches are not filled yet"


class _BodyTooLongError(Exception):
    """The body is longer than any that a scheduler sends."""


def build_app(extender: Extender, metrics: Metrics, limits: Limits) -> FastAPI:
    """Return the application with every path; it serves, and starts nothing of its own."""
    app = build_observation_app(extender, metrics)
    limiter = AsyncLimiter(limits.max_calls_per_second, time_period=1.0)
    table = extender.state.table

    def filter_nodes(body: bytes) -> bytes:
        request = wire.decode_request(body, table)
        passed, rejected = extender.filter(request)
        return wire.encode_filter(request, passed, rejected)

    def prioritize_nodes(body: bytes) -> bytes:
        request = wire.decode_request(body, table)
        ranking = extender.prioritize(request.pod, request.nodes)
        return wire.encode_priorities(request, ranking)

    def decided(verb: str, body: bytes, decide: Decide) -> Response:
        start = perf_counter()
        try:
            return Response(decide(body), media_type=_JSON)
        except wire.MalformedRequestError as error:
            metrics.refused_calls.labels(verb, "malformed").inc()
            return _text(str(error), HTTPStatus.BAD_REQUEST)
        except NotReadyError:
            metrics.refused_calls.labels(verb, "not_ready").inc()
            return _text(_NOT_READY, HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            metrics.request_seconds.labels(verb).observe(perf_counter() - start)

    async def answer(verb: str, request: Request, decide: Decide) -> Response:
        if not limiter.has_capacity():
            metrics.refused_calls.labels(verb, "too_many").inc()
            return _text("more calls than any scheduler makes", HTTPStatus.TOO_MANY_REQUESTS)
        await limiter.acquire()
        try:
            body = await _body(request, limits.max_body_bytes)
        except _BodyTooLongError:
            metrics.refused_calls.labels(verb, "too_long").inc()
            sentence = f"body: longer than {limits.max_body_bytes} bytes"
            refused = _text(sentence, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            refused.headers["Connection"] = "close"  # else the server would go on reading what is refused
            return refused
        return decided(verb, body, decide)

    async def filter_route(request: Request) -> Response:
        return await answer("filter", request, filter_nodes)

    async def prioritize_route(request: Request) -> Response:
        return await answer("prioritize", request, prioritize_nodes)

    # As plain routes: these take no parameters that FastAPI would have to read, and are on the path of every pod.
    app.add_route("/filter", filter_route, methods=["POST"])
    app.add_route("/prioritize", prioritize_route, methods=["POST"])
    return app


def build_observation_app(extender: Extender, metrics: Metrics) -> FastAPI:
    """Return the application with the paths that change nothing: explain, probes and metrics."""
    app = FastAPI(title="EcoServe scheduler extender", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/explain")
    async def explain_route(pod: str = "") -> Response:
        decision = extender.decisions.get(pod)
        if decision is not None:
            return Response(msgspec.json.encode(decision.explanation()), media_type=_JSON)
        if "/" not in pod:
            return _error("give the pod as ?pod=NAMESPACE/NAME", HTTPStatus.BAD_REQUEST)
        return _error(f"no decision on pod {pod} is remembered", HTTPStatus.NOT_FOUND)

    @app.get("/healthz")
    async def health_route() -> Response:
        return _text("ok", HTTPStatus.OK)

    @app.get("/readyz")
    async def ready_route() -> Response:
        if extender.ready:
            return _text("ok", HTTPStatus.OK)
        return _text(_NOT_READY, HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get("/metrics")
    async def metrics_route() -> Response:
        return Response(metrics.exposition(), media_type=exposition.CONTENT_TYPE)

    return app


async def _body(request: Request, most: int) -> bytes:
    """Return the body; raises _BodyTooLongError as soon as it is known to be longer than `most` bytes."""
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise _BodyTooLongError
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise _BodyTooLongError
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _text(line: str, status: HTTPStatus) -> Response:
    return Response(line + "\n", status, media_type="text/plain")


def _error(sentence: str, status: HTTPStatus) -> Response:
    return Response(msgspec.json.encode({"error": sentence}), status, media_type=_JSON)
