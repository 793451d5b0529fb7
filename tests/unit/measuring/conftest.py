"""A real server on loopback that streams tokens with set delays, and one that answers as Prometheus."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse


@dataclass
class FakeServer:
    """How the server behaves, and what it was asked."""

    url: str
    behaviour: str = "serve"
    power_series: int = 1
    ttft_seconds: float = 0.01
    tpot_seconds: float = 0.002
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    running: int = 0
    most_at_once: int = 0


def build_app(server: FakeServer) -> FastAPI:
    app = FastAPI()

    async def tokens(count: int, words: int, usage: bool) -> AsyncIterator[str]:
        server.running += 1
        server.most_at_once = max(server.most_at_once, server.running)
        try:
            await asyncio.sleep(server.ttft_seconds)
            for number in range(1000 if server.behaviour == "endless" else count):
                yield f"data: {json.dumps({'choices': [{'text': f'w{number} '}]})}\n\n"
                if server.behaviour == "stall":
                    await asyncio.sleep(30)
                if server.behaviour == "cut":
                    return
                if server.behaviour == "garbage":
                    yield "data: {not json\n\n"
                if server.behaviour == "error":
                    yield f"data: {json.dumps({'error': {'message': 'out of memory'}})}\n\n"
                await asyncio.sleep(server.tpot_seconds)
            if server.behaviour == "miscounted":
                for counts in ([], {"prompt_tokens": "many", "completion_tokens": -1}):
                    yield f"data: {json.dumps({'choices': 7, 'usage': counts})}\n\n"
            elif usage and server.behaviour != "uncounted":
                counts = {"prompt_tokens": words * 2, "completion_tokens": count}
                yield f"data: {json.dumps({'choices': [], 'usage': counts})}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            server.running -= 1

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        body = await request.json()
        server.asked.append(body)
        server.keys.add(request.headers.get("authorization"))
        if server.behaviour == "html":
            return HTMLResponse("<html>welcome</html>")
        if server.behaviour in ("401", "500"):
            return JSONResponse({"error": "no"}, status_code=int(server.behaviour))
        if server.behaviour == "strict" and "ignore_eos" in body:
            return JSONResponse({"error": "unknown field ignore_eos"}, status_code=400)
        count = 0 if server.behaviour == "empty" else body["max_tokens"]
        count = 1 if server.behaviour == "short" else count
        usage = "stream_options" in body
        stream = tokens(count, len(body["prompt"].split()), usage)
        return StreamingResponse(stream, media_type="text/event-stream; charset=utf-8")

    @app.get("/api/v1/query")
    async def query() -> dict[str, Any]:
        value = [time.time(), str(server.power_series)]
        result = [{"metric": {}, "value": value}] if server.power_series else []
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    @app.get("/api/v1/query_range")
    async def query_range(query: str) -> dict[str, Any]:
        server.asked.append({"query": query})
        values = [[time.time(), "300"], [time.time(), "340"]] if server.behaviour != "unscraped" else []
        return {"status": "success", "data": {"resultType": "matrix", "result": [{"values": values}]}}

    return app


@pytest.fixture(scope="module")
def running_server() -> Iterator[FakeServer]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        fake = FakeServer(url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        config = uvicorn.Config(build_app(fake), log_level="critical", timeout_graceful_shutdown=1)
        runner = uvicorn.Server(config)
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not runner.started:
            time.sleep(0.005)
        yield fake
        runner.should_exit = True
        thread.join(timeout=5)


@pytest.fixture
def server(running_server: FakeServer) -> FakeServer:
    for name, value in FakeServer(url=running_server.url).__dict__.items():
        setattr(running_server, name, value)
    return running_server
