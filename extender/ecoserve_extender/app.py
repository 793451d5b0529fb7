"""HTTP routes. Bodies are read and answered as bytes: FastAPI's own decoding and encoding would cost four times more."""

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

import msgspec
from fastapi import FastAPI, Request, Response

from ecoserve_extender import metrics as exposition
from ecoserve_extender import wire
from ecoserve_extender.extender import Extender, NotReadyError
from ecoserve_extender.metrics import Metrics

_JSON = "application/json"


def build_app(extender: Extender, metrics: Metrics) -> FastAPI:
    """Return the application; it serves, and starts nothing of its own."""
    app = FastAPI(title="EcoServe scheduler extender", docs_url=None, redoc_url=None, openapi_url=None)

    def filter_nodes(request: wire.Request) -> bytes:
        passed, rejected = extender.filter(request)
        return wire.encode_filter(request, passed, rejected)

    def prioritize_nodes(request: wire.Request) -> bytes:
        ranking = extender.prioritize(request, request.names)
        return wire.encode_priorities(ranking.names, ranking.scores)

    def answer(verb: str, body: bytes, decide: Callable[[wire.Request], bytes]) -> Response:
        start = perf_counter()
        try:
            return Response(decide(wire.decode_request(body)), media_type=_JSON)
        except wire.MalformedRequestError as error:
            metrics.bad_requests.labels(verb).inc()
            return _text(str(error), HTTPStatus.BAD_REQUEST)
        except NotReadyError:
            return _text("the watch caches are not filled yet", HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            metrics.request_seconds.labels(verb).observe(perf_counter() - start)

    @app.post("/filter")
    async def filter_route(request: Request) -> Response:
        return answer("filter", await request.body(), filter_nodes)

    @app.post("/prioritize")
    async def prioritize_route(request: Request) -> Response:
        return answer("prioritize", await request.body(), prioritize_nodes)

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
        return _text("the watch caches are not filled yet", HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get("/metrics")
    async def metrics_route() -> Response:
        return Response(metrics.exposition(), media_type=exposition.CONTENT_TYPE)

    return app


def _text(line: str, status: HTTPStatus) -> Response:
    return Response(line + "\n", status, media_type="text/plain")


def _error(sentence: str, status: HTTPStatus) -> Response:
    return Response(msgspec.json.encode({"error": sentence}), status, media_type=_JSON)
