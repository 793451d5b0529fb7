"""A scheduler extender that does nothing, on the server stack of ours: `python noop.py PORT`.

It decodes what it must to answer, names and no pod, and answers from bytes as ours does.
"""

import asyncio
import sys

import msgspec
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from ecoserve_extender import memory
from ecoserve_extender.calls import read_body, send_json
from ecoserve_extender.settings import Limits


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
_MOST_BYTES = Limits().max_body_bytes


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass every node, and score every node alike; answer any other path, too."""
    if scope["method"] != "POST":
        await send_json(send, b"{}")
        return
    names = _decoder.decode(await read_body(scope, receive, _MOST_BYTES)).node_names
    answer = [_Score(name, 0) for name in names] if scope["path"] == "/prioritize" else _Result(names)
    await send_json(send, _encoder.encode(answer))


if __name__ == "__main__":
    memory.prepare()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=int(sys.argv[1]),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=120,
        )
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve())
