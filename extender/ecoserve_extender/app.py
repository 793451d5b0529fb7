"""The HTTP applications: one with every path, and one that only looks.

What decides (filter, prioritize: `calls.py`) and what only looks (explain, probes, metrics) can be served apart: the first is
for schedulers alone, on loopback or behind client certificates, the second for the kubelet and Prometheus.
"""

from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Response

from ecoserve_extender import metrics as exposition
from ecoserve_extender.calls import NOT_READY, Calls
from ecoserve_extender.extender import Extender
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.settings import Limits

_JSON = "application/json"


def build_app(extender: Extender, metrics: Metrics, limits: Limits) -> Calls:
    """Return the application with every path; it serves, and starts nothing of its own."""
    return Calls(extender, metrics, limits, build_observation_app(extender, metrics))


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
        return _text(NOT_READY, HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get("/metrics")
    async def metrics_route() -> Response:
        return Response(metrics.exposition(), media_type=exposition.CONTENT_TYPE)

    return app


def _text(line: str, status: HTTPStatus) -> Response:
    return Response(line + "\n", status, media_type="text/plain")


def _error(sentence: str, status: HTTPStatus) -> Response:
    return Response(msgspec.json.encode({"error": sentence}), status, media_type=_JSON)
