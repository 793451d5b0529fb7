"""List and watch against an API server played line by line: pages, resumption, 410, silence, broken objects."""

import asyncio
import json
import time
from contextlib import suppress
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from ecoserve.errors import InvalidInputError
from ecoserve_extender.cache.objects import Node
from ecoserve_extender.cache.protobuf import MEDIA_TYPE, NODES, STREAM_TYPE
from ecoserve_extender.cache.reflector import Reflector, Resource
from ecoserve_extender.cache.server_clock import ServerClock


def node(name, version):
    return {
        "metadata": {"name": name, "resourceVersion": str(version), "annotations": {"pad": "x" * 300_000}}
    }


def event(kind, item):
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


class Sink:
    def __init__(self):
        self.held = set()
        self.taken = []

    def key(self, item):
        return item.metadata.uid or item.metadata.name

    def put(self, item):
        if item.metadata.name == "broken":
            raise InvalidInputError("memory", "lots", "a quantity")
        self.held.add(self.key(item))
        self.taken.append(self.key(item))

    def remove(self, item):
        self.held.discard(self.key(item))

    def keep_only(self, keys):
        self.held &= keys


class Watchful(Sink):
    """Notes when what was taken in together began and ended: the loop does nothing else in between."""

    def __init__(self):
        super().__init__()
        self.spells = []
        self._same = False

    def put(self, item):
        now = time.monotonic()
        if self._same:
            self.spells[-1] = (self.spells[-1][0], now)
        else:
            self.spells.append((now, now))
            self._same = True
            asyncio.get_running_loop().call_soon(self._end)
        super().put(item)

    def _end(self):
        self._same = False


class Server:
    """Answers each request with the next script of its kind, and notes what was asked."""

    def __init__(self, lists, watches):
        self.scripts = {"list": list(lists), "watch": list(watches)}
        self.asked = []
        self.asked_first = self.heard_last = 0.0
        self.pause_seconds = 0.0  # after each event

    async def handle(self, request):
        verb = "watch" if "watch" in request.query else "list"
        self.asked.append((verb, request.query.get("resourceVersion"), request.query.get("continue")))
        self.asked_first = self.asked_first or time.monotonic()
        scripts = self.scripts[verb]
        answer = scripts.pop(0) if scripts else "hang"
        if isinstance(answer, int):
            return web.Response(status=answer, text="no such page")
        if isinstance(answer, tuple):
            return web.Response(status=answer[0], body=answer[1], content_type=MEDIA_TYPE)
        if isinstance(answer, bytes):
            assert request.headers["Accept"].startswith(MEDIA_TYPE)
            return web.Response(body=answer, content_type=MEDIA_TYPE)
        if verb == "list":
            return web.json_response(answer)
        of_protobuf = answer != "hang" and not answer[0].endswith(b"\n")
        assert request.headers["Accept"] == f"{STREAM_TYPE},application/json"
        response = web.StreamResponse(headers={"Content-Type": STREAM_TYPE} if of_protobuf else None)
        await response.prepare(request)
        for line in () if answer == "hang" else answer:
            await response.write(line[: len(line) // 2])
            await response.write(line[len(line) // 2 :])
            await asyncio.sleep(self.pause_seconds)
        if answer == "hang":
            await asyncio.sleep(30)
        return response


def follow(server, reached, *, silence_seconds=30.0, optional=False, clock=None, urgent=True, sink=None):
    """Run a reflector until `reached(sink, server)`; the sink and how often it had to restart."""
    sink = sink or Sink()

    async def scenario():
        app = web.Application()
        app.router.add_get("/api/v1/nodes", server.handle)
        restarts = []
        async with TestServer(app) as running, _client(running) as client:
            resource = Resource(
                name="nodes", path="/api/v1/nodes", kind=Node, protobuf=NODES, optional=optional
            )
            reflector = Reflector(
                client,
                resource,
                sink,
                silence_seconds=silence_seconds,
                on_restart=lambda: restarts.append(1),
                urgent=lambda: urgent,
                clock=clock or ServerClock(time.time),
            )
            task = asyncio.create_task(reflector.run())
            async with asyncio.timeout(10):
                while not reached(sink, server):
                    await asyncio.sleep(0.01)
            assert reflector.synced.is_set()
            server.heard_last = time.monotonic() - reflector.age_seconds()
            assert reflector.age_seconds() < 10
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        return sink, len(restarts)

    return asyncio.run(scenario())


def _client(running):
    return ApiClient(Configuration(host=str(running.make_url("")).rstrip("/")))


def page(version, *items, more=""):
    return {"metadata": {"resourceVersion": str(version), "continue": more}, "items": items}


def test_pages_then_events_of_any_size_then_resumption():
    server = Server(
        [page(5, node("a", 1), more="next"), page(5, node("b", 2))],
        [
            [event("ADDED", node("c", 6)), event("MODIFIED", node("a", 7)), event("DELETED", node("b", 8))],
            [event("BOOKMARK", {"metadata": {"resourceVersion": "20"}})],
        ],
    )
    sink, restarts = follow(server, lambda _, server: len(server.asked) >= 5)
    assert sink.held == {"a", "c"}
    assert restarts == 0
    assert server.asked[:5] == [
        ("list", None, None),
        ("list", None, "next"),
        ("watch", "5", None),
        ("watch", "8", None),
        ("watch", "20", None),
    ]


def part(number, body):
    """A field of protobuf that holds a few bytes."""
    return bytes([number << 3 | 2, len(body)]) + body


def test_pages_and_events_in_protobuf_and_answers_that_are_none():
    def page_of(name, more):
        nodes = part(1, part(2, b"17") + part(3, more)) + part(2, part(1, part(1, name)))
        return b"k8s\x00" + part(2, nodes)

    def told(kind, name, version):
        body = part(1, kind) + part(
            2, part(1, b"k8s\x00" + part(2, part(1, part(1, name) + part(6, version))))
        )
        return len(body).to_bytes(4, "big") + body

    server = Server(
        [b"garbage", page_of(b"a", b"next"), page_of(b"b", b""), page_of(b"d", b"")],
        [
            [event("ADDED", node("c", 18))],
            [told(b"ADDED", b"d", b"19"), told(b"DELETED", b"a", b"20"), b"\0\0\0\x01\xff"],
        ],
    )
    sink, restarts = follow(server, lambda _, server: len(server.asked) >= 7)
    assert sink.taken == ["a", "b", "c", "d", "d"]
    assert sink.held == {"d"}
    assert restarts == 2
    asked = [
        ("list", None, None),
        ("list", None, "next"),
        ("watch", "17", None),
        ("watch", "18", None),
        ("list", None, None),
        ("watch", "17", None),
    ]
    assert server.asked[1:7] == asked


@pytest.mark.parametrize(
    "gone",
    [410, [event("ERROR", {"code": 410, "message": "too old resource version"})]],
    ids=["status", "event"],
)
def test_a_version_too_old_lists_anew_and_forgets_what_is_gone(gone):
    server = Server([page(1, node("a", 1), node("b", 1)), page(9, node("b", 1))], [gone])
    sink, _ = follow(server, lambda _, server: ("watch", "9", None) in server.asked)
    assert sink.held == {"b"}


def refused(code):
    """An answer as the API server gives it to who asks for protobuf: a Status, its length no text."""
    message = b"the provided resource version or continue token is too old to go on with. " * 2
    status = b"\x1a" + bytes([len(message) % 128 | 128, len(message) // 128]) + message
    return code, b"k8s\x00\x12" + bytes([len(status) % 128 | 128, len(status) // 128]) + status


def test_a_refusal_in_protobuf_is_read(caplog):
    server = Server(
        [refused(403), page(1, node("a", 1), more="next"), refused(410)] + [page(9, node("b", 1))] * 2,
        [refused(410), [event("ADDED", node("c", 10))]],
    )
    sink, restarts = follow(server, lambda sink, _: "c" in sink.held)
    assert sink.held == {"b", "c"}
    assert restarts == 3
    assert "too old to go on with" in caplog.records[0].error


def test_what_cant_be_read_of_a_watch_is_listed_anew():
    server = Server(
        [page(1, node("a", 1)), page(5, node("b", 5)), page(9, node("c", 9))],
        [[event("ERROR", {"code": 500, "message": "unable to decode"})], [b"no event\n"]],
    )
    sink, restarts = follow(server, lambda sink, _: "c" in sink.held)
    assert sink.held == {"c"}
    assert restarts == 2


@pytest.mark.parametrize("at_once", [[b"\n"], 410], ids=["ended", "gone"])
def test_watches_that_end_at_once_are_reopened_with_pauses(at_once):
    server = Server([page(1, node("a", 1))] * 9, [at_once] * 2)
    _, restarts = follow(server, lambda _, server: not server.scripts["watch"])
    assert restarts >= 1


def test_a_silent_watch_is_reopened_from_where_it_was():
    server = Server([page(1, node("a", 1))], ["hang", [event("ADDED", node("b", 2))]])
    sink, restarts = follow(server, lambda sink, _: "b" in sink.held, silence_seconds=0.2)
    assert sink.held == {"a", "b"}
    assert restarts >= 1


@pytest.mark.parametrize("urgent", [False, True])
def test_events_that_nobody_waits_for_gather(urgent):
    small = [{"metadata": {"name": f"n-{number}", "resourceVersion": str(number)}} for number in range(2, 42)]
    server = Server([page(1)], [[event("ADDED", item) for item in small]])
    server.pause_seconds = 0.01
    sink, _ = follow(server, lambda sink, _: "n-41" in sink.held, sink=Watchful(), urgent=urgent)
    waits = [after[0] - before[1] for before, after in pairwise(sink.spells)]
    assert sink.held == {item["metadata"]["name"] for item in small}
    assert all(wait > 0.09 for wait in waits) or urgent
    assert any(wait < 0.09 for wait in waits) or not urgent


def test_events_that_come_in_masses_are_read_on():
    server = Server([page(1)], [[event("ADDED", node(f"n-{number}", number)) for number in range(2, 42)]])
    sink, _ = follow(server, lambda sink, _: "n-41" in sink.held, sink=Watchful(), urgent=False)
    assert any(after[0] - before[1] < 0.09 for before, after in pairwise(sink.spells))


def test_an_error_of_the_server_is_survived():
    server = Server([500, page(1, node("a", 1))], [503, [event("ADDED", node("b", 2))]])
    sink, restarts = follow(server, lambda sink, _: "b" in sink.held)
    assert sink.held == {"a", "b"}
    assert restarts >= 2


def test_an_object_that_cant_be_read_is_skipped():
    server = Server([page(1, node("broken", 1), node("a", 1))], [])
    sink, restarts = follow(server, lambda _, server: len(server.asked) >= 2)
    assert sink.held == {"a"}
    assert restarts == 0


def test_an_object_that_can_no_longer_be_read_stays_as_it_was_known():
    def named(name, version):
        return {"metadata": {"name": name, "uid": "u-1", "resourceVersion": str(version)}}

    server = Server([page(1, named("whole", 1)), page(9, named("broken", 9))], [410])
    sink, _ = follow(server, lambda _, server: ("watch", "9", None) in server.asked)
    assert sink.held == {"u-1"}


@pytest.mark.parametrize("off_seconds", [-3600.0, 0.0, 3600.0])
def test_the_api_servers_time_is_kept_by_a_machine_whose_clock_is_off(off_seconds):
    clock = ServerClock(lambda: time.time() + off_seconds)
    assert clock.skew_seconds == 0.0
    follow(Server([page(1, node("a", 1))], []), lambda _, server: len(server.asked) >= 2, clock=clock)
    assert clock.skew_seconds == pytest.approx(off_seconds, abs=30)
    assert clock.now() == pytest.approx(time.time(), abs=30)
    for no_date in ("", "yesterday", "Sat, 99 Nov 2026 13:00:00 GMT"):
        clock.hear(no_date)
    assert clock.skew_seconds == pytest.approx(off_seconds, abs=30)


def test_a_kind_that_is_not_installed_counts_as_empty_and_is_looked_for_again():
    server = Server([404, page(3, node("a", 1))], [])
    sink, _ = follow(server, lambda sink, _: "a" in sink.held, optional=True)
    assert sink.held == {"a"}


def test_an_answer_that_a_kind_is_not_installed_is_one():
    server = Server([404, 404], [])
    follow(server, lambda _, server: len(server.asked) == 2, optional=True)
    assert server.heard_last > server.asked_first
