"""A scheduler extender that does nothing, on the server stack of ours: `python noop.py PORT`.

It decodes what it must to answer, names and no pod, and answers from bytes as ours does.
"""

import asyncio
import sys

import msgspec
import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response

from ecoserve_extender import memory


class _Args(msgspec.Struct, rename="pascal"):
    node_names: list[str]


class _Result(msgspec.Struct, rename="pascal"):
    node_names: list[str]
    nodes: None = None
    failed_nodes: dict[str, str] = {}
    failed_and_unresolvable_nodes: dict[str, str] = {}
    error: str = ""


class _Score(msgspec.Struct, rename="pascal"):
    host: str
    score: int


_decoder, _encoder = msgspec.json.Decoder(_Args), msgspec.json.Encoder()
app = FastAPI()


async def filter_route(request: Request) -> Response:
    """Pass every node."""
    names = _decoder.decode(await request.body()).node_names
    return Response(_encoder.encode(_Result(names)), media_type="application/json")


async def prioritize_route(request: Request) -> Response:
    """Score every node alike."""
    names = _decoder.decode(await request.body()).node_names
    return Response(_encoder.encode([_Score(name, 0) for name in names]), media_type="application/json")


app.add_route("/filter", filter_route, methods=["POST"])
app.add_route("/prioritize", prioritize_route, methods=["POST"])


@app.get("/healthz")
async def health_route() -> Response:
    """Answer."""
    return Response(b"ok")


if __name__ == "__main__":
    memory.prepare()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=int(sys.argv[1]),
            log_config=None,
            access_log=False,
            timeout_keep_alive=120,
        )
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve())
