"""Writing annotations against an API server played by hand: what is sent, retried, given up and dropped."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from ecoserve_extender.annotations import Annotation, AnnotationWriter
from ecoserve_extender.metrics import Metrics

Sent = list[tuple[str, str, str, Any]]


def write(
    annotations: Sequence[Annotation],
    answers: Callable[[int], int] = lambda _: 200,
    *,
    per_second: float = 1_000,
    queue_size: int = 10,
    gives_way: Callable[[], bool] = lambda: False,
) -> tuple[Sent, dict[str, float]]:
    """Write them; what the server was sent, and how often each outcome was counted. `answers` gives the n-th status."""
    sent: Sent = []

    async def handle(request: web.Request) -> web.Response:
        sent.append((request.method, request.path, request.headers["Content-Type"], await request.json()))
        return web.json_response({}, status=answers(len(sent)))

    async def scenario() -> Metrics:
        metrics = Metrics()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        async with TestServer(app) as server, _client(server) as client:
            writer = AnnotationWriter(
                client,
                metrics.decisions,
                per_second=per_second,
                queue_size=queue_size,
                gives_way=gives_way,
                most_seconds=1.0,
            )
            for annotation in annotations:
                writer.put(annotation)
            running = asyncio.create_task(writer.run())
            await writer.drain(10)
            assert len(writer) == 0
            running.cancel()
            await asyncio.wait([running])
        return metrics

    samples = next(iter(asyncio.run(scenario()).decisions.collect())).samples
    return sent, {
        sample.labels["outcome"]: sample.value for sample in samples if sample.name.endswith("_total")
    }


def _client(server: TestServer) -> ApiClient:
    return ApiClient(Configuration(host=str(server.make_url("")).rstrip("/")))


def annotation(number: int = 0) -> Annotation:
    return Annotation(f"ns/pod-{number}", f"uid-{number}", "ecoserve.dev/decision", "{}")


def test_a_write_is_a_merge_patch_of_the_status_bound_to_the_uid():
    sent, outcomes = write([annotation()])
    metadata = {"uid": "uid-0", "annotations": {"ecoserve.dev/decision": "{}"}}
    path = "/api/v1/namespaces/ns/pods/pod-0/status"
    assert sent == [("PATCH", path, "application/merge-patch+json", {"metadata": metadata})]
    assert outcomes == {"written": 1}


@pytest.mark.parametrize(
    ("status", "outcome"), [(404, "gone"), (409, "gone"), (403, "failed"), (422, "failed")]
)
def test_what_cannot_be_written_is_counted_and_not_tried_again(status, outcome):
    sent, outcomes = write([annotation()], lambda _: status)
    assert (len(sent), outcomes) == (1, {outcome: 1})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(status):
    sent, outcomes = write([annotation()], lambda number: status if number < 3 else 200)
    assert (len(sent), outcomes) == (3, {"written": 1})


def test_a_pace_below_one_per_second_is_kept_and_not_tripped_over():
    sent, outcomes = write([annotation()], per_second=0.2)
    assert (len(sent), outcomes) == (1, {"written": 1})


def test_writes_wait_while_pods_are_scheduled():
    looks = iter([True, True, True])
    sent, outcomes = write([annotation()], gives_way=lambda: next(looks, False))
    assert list(looks) == []  # it was asked again until told to go on
    assert (len(sent), outcomes) == (1, {"written": 1})


def test_writes_wait_no_longer_than_they_may():
    sent, outcomes = write([annotation()], gives_way=lambda: True)
    assert (len(sent), outcomes) == (1, {"written": 1})


def test_a_full_queue_drops_what_comes_and_says_so():
    sent, outcomes = write([annotation(number) for number in range(7)], queue_size=4)
    assert sorted(path.split("/")[-2] for _, path, *_ in sent) == [f"pod-{number}" for number in range(4)]
    assert outcomes == {"written": 4, "dropped": 3}
