"""Measured use: what counts as online, for how long it is believed, and what sources answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from ecoserve_extender.cache.records import BoundPod, Requests
from ecoserve_extender.measured.offline_use import OfflineUse
from ecoserve_extender.measured.reading import keep_measured
from ecoserve_extender.measured.sources import MetricsApi, Prometheus, samples
from ecoserve_extender.measured.use import Sample, SourceError

GIB = 2**30


def offline(node: str, **changes: Any) -> BoundPod:
    """An offline pod called batch/job-1."""
    about = {"uid": "1", "namespace": "batch", "name": "job-1", "offline": True, "keeps_node_on": True}
    return BoundPod(**({"node": node, "requests": Requests()} | about | changes))


def started_just_now(*pods: BoundPod) -> OfflineUse:
    return OfflineUse(lambda: pods, lambda: 0.0, lambda: 0.0)


def test_the_use_of_offline_pods_is_not_online_use():
    found = samples(
        {"n1": Requests(5_000, 100), "n2": Requests(300, 10)},
        [
            ("n1", Requests(4_000, 30)),
            ("gone", Requests(1)),
            ("n2", Requests(900, 1)),
        ],
        {"n1": 0.3},
    )
    assert found == {"n1": Sample(Requests(1_000, 70), 0.3), "n2": Sample(Requests(0, 9))}


def test_what_a_pod_used_is_no_online_load_once_it_has_left():
    now, pods = 0.0, [offline("n1")]
    use = OfflineUse(lambda: pods, lambda: now, lambda: now)
    key, amounts = ("batch", "job-1"), Requests(4_000, 30)
    assert use.by_node({key: amounts, ("web", "x"): Requests(9_000)}) == [("n1", amounts)]
    pods.clear()
    now = 15.0
    assert use.by_node({key: Requests(3_500)}) == [("n1", Requests(3_500))], "a mean falls slowly"
    assert use.by_node({}) == [("n1", Requests(3_500))], "of the node it is as it was where pods have none"
    pods.append(offline("n2"))
    now = 30.0
    assert use.by_node({key: amounts}) == [("n2", amounts)], "another pod of that name"
    pods.clear()
    now = 181.0
    assert use.by_node({key: amounts}) == []


def test_what_a_new_pod_uses_is_no_online_load_before_it_is_told_of(world):
    now = 0.0
    use = OfflineUse(world.state.offline.values, lambda: now, lambda: now)
    world.load("n1", uid="job", millicores=4_000, offline=True)
    world.load("n1", uid="web", millicores=9_000)
    requests = Requests(4_000)
    assert use.by_node({}) == [("n1", requests)]
    key, part, more = ("default", "job"), Requests(500, 9), Requests(7_000, 9)
    assert use.by_node({key: part}) == [("n1", Requests(4_000, 9))], "a mean rises slowly"
    assert use.by_node({key: more}) == [("n1", more)]
    now = 149.0
    assert use.by_node({key: part}) == [("n1", Requests(4_000, 9))]
    now = 151.0
    assert use.by_node({key: part}) == [("n1", part)]
    now = 1_000.0
    assert use.by_node({}) == [("n1", part)], "as it was measured last"
    world.load("n2", uid="job", millicores=4_000, offline=True)
    assert use.by_node({key: part}) == [("n2", Requests(4_000, 9))], "another pod of that name"


def test_pods_that_have_long_run_are_new_only_to_an_extender_that_has_just_started():
    epoch, requests, used = 1e9, Requests(8_000), Requests(1_000)
    for ran_seconds, counts in ((600.0, used), (149.0, requests), (-60.0, requests)):
        pod = offline("n1", requests=requests, started=epoch - ran_seconds)
        use = OfflineUse(lambda pod=pod: [pod], lambda: 5.0, lambda: epoch)
        assert use.by_node({("batch", "job-1"): used}) == [("n1", counts)]


def test_nothing_is_measured_before_it_is_known_which_pods_are_offline(world):
    class Source:
        async def read(self) -> dict[str, Sample]:
            return {"n": Sample(Requests(8_000 - 7_000 * len(world.state.offline)))}

    async def start() -> None:
        listed = asyncio.Event()

        async def synced() -> None:
            await listed.wait()

        measured, readings = world.extender.measured, world.metrics.use_readings
        reading = asyncio.create_task(keep_measured(measured, Source(), 0, readings, synced()))
        for _ in range(10):
            await asyncio.sleep(0)
        world.load("n", offline=True)
        listed.set()
        while measured.latest("n") is None:
            await asyncio.sleep(0)
        reading.cancel()

    world.node("n")
    asyncio.run(start())
    assert world.filter(["n"], offline=True)["NodeNames"] == ["n"]


def test_a_source_that_falls_silent_makes_no_load_grow(world):
    world.node("n")
    world.load("n", millicores=9_000, gib=10)
    measured = world.extender.measured
    assert measured.online("n") == Requests(9_000, 10 * GIB)
    measured.take({"n": Sample(Requests(1_000, 5))})
    assert measured.online("n") == Requests(1_000, 5)
    world.now = 7_200.0
    measured.take({})
    assert measured.latest("n") is None
    assert measured.online("n") == Requests(1_000, 5)
    world.load("n", millicores=500, gib=1, uid="new")
    assert measured.online("n") == Requests(1_500, 5 + GIB)
    world.load("n", millicores=2_000, gib=10)
    assert measured.online("n") == Requests(1_000, 5 + GIB), "who left may have used next to nothing"


def test_the_highest_use_of_late_is_expected_again_and_old_samples_are_none(world):
    world.node("n")

    def use(at: float, millicores: int) -> None:
        world.now = at
        world.extender.measured.take(
            {"n": Sample(Requests(millicores, 5)), "not seen yet": Sample(Requests(1))}
        )

    def idle() -> bool:
        return world.filter(["n"], offline=True)["NodeNames"] == ["n"]

    world.load("n", millicores=9_000)
    assert not idle()
    use(0.0, 8_000)
    use(600.0, 1_000)
    assert not idle()
    assert world.extender.measured.latest("n") == Sample(Requests(1_000, 5))
    use(901.0, 500)
    assert idle()
    world.now = 1_022.0
    assert not idle()
    assert world.extender.measured.latest("n") is None
    assert world.extender.measured.nodes == 0


def test_a_node_that_comes_back_under_its_name_is_another_one(world):
    measured = world.extender.measured
    world.node("n")
    measured.take({"n": Sample(Requests(9_000, 5))})
    world.load("n", millicores=100)
    world.state.remove_node("n")
    world.now = 15.0
    measured.take({"n": Sample(Requests(9_000, 5))})
    assert measured.latest("n") is None, "Prometheus tells of it for a while longer"
    world.node("n")
    assert measured.online("n") == Requests(100)
    assert world.filter(["n"], offline=True)["NodeNames"] == ["n"]


def test_amounts_beyond_any_node_are_taken_as_the_largest(world):
    async def answer(request: web.Request) -> web.Response:
        item = {"metadata": {"name": "n"}, "usage": {"cpu": "1e300", "memory": "1e300"}}
        return web.json_response({"items": [item] if request.path.endswith("/nodes") else []})

    world.node("n")
    world.extender.measured.take(read_metrics_api(answer))
    assert world.filter(["n"], offline=True)["NodeNames"] == []


def test_measured_idleness_beats_requests_and_pressure_beats_both(world):
    for name in ("requested", "quiet", "loud", "stalled"):
        world.node(name)
    world.load("requested", millicores=6_000, uid="a")
    world.load("quiet", millicores=6_000, uid="b")
    world.extender.measured.take(
        {
            "quiet": Sample(Requests(500, 1)),
            "loud": Sample(Requests(5_500, 1)),
            "stalled": Sample(Requests(100, 1), stalled_share=0.2),
        }
    )
    reply = world.filter(["requested", "quiet", "loud", "stalled"], offline=True)
    assert reply["NodeNames"] == ["quiet"]
    assert "pressure" in reply["FailedAndUnresolvableNodes"]["stalled"]
    assert "busy" in reply["FailedAndUnresolvableNodes"]["loud"]
    assert "busy" in reply["FailedAndUnresolvableNodes"]["requested"]


@asynccontextmanager
async def served(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def read_prometheus(handler: Callable[[web.Request], Any]) -> Any:
    async def read() -> Any:
        async with served(handler) as url, aiohttp.ClientSession() as session:
            return await Prometheus(session, url, started_just_now(offline("n1"))).read()

    return asyncio.run(read())


def read_metrics_api(handler: Callable[[web.Request], Any]) -> Any:
    async def read() -> Any:
        configuration = Configuration()
        async with served(handler) as url:
            configuration.host = url
            async with ApiClient(configuration) as client:
                return await MetricsApi(client, started_just_now(offline("n1"))).read()

    return asyncio.run(read())


def vector(*rows: tuple[dict[str, str], str]) -> web.Response:
    result = [{"metric": labels, "value": [0, value]} for labels, value in rows]
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


def test_prometheus_tells_online_use_and_stalls():
    async def answer(request: web.Request) -> web.Response:
        query = (await request.post())["query"]
        if "pressure_cpu" in query:
            return vector(({"node": "n1"}, "0.02"), ({"node": "n2"}, "NaN"))
        if "pressure_memory" in query:
            return vector(({"node": "n1"}, "0.25"))
        if "(namespace, pod)" in query:
            pod = {"namespace": "batch", "pod": "job-1"}
            return vector((pod, "3" if "cpu" in query else "20"), ({"namespace": "web", "pod": "x"}, "9"))
        if "cpu" in query:
            return vector(({"node": "n1"}, "4"), ({"node": "n2"}, "1.5"), ({}, "7"), ({"node": "n3"}, "NaN"))
        return vector(({"node": "n1"}, "100"), ({"node": "n2"}, "7"))

    assert read_prometheus(answer) == {
        "n1": Sample(Requests(1_000, 80), 0.25),
        "n2": Sample(Requests(1_500, 7)),
    }


def test_a_node_of_which_half_is_known_is_not_measured():
    known: list[tuple[dict[str, str], str]] = [({"node": "n1"}, "100")]

    async def answer(request: web.Request) -> web.Response:
        query = (await request.post())["query"]
        if "(node)" not in query or "pressure" in query:
            return vector()
        if "cpu" in query:
            return vector(({"node": "n1"}, "4"), ({"node": "n2"}, "1"))
        return vector(*known)

    assert read_prometheus(answer) == {"n1": Sample(Requests(4_000, 100))}
    known.clear()
    with pytest.raises(SourceError, match="working_set"):
        read_prometheus(answer)


def test_the_metrics_api_tells_online_use():
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/nodes"):
            items = [{"metadata": {"name": "n1"}, "usage": {"cpu": "4200m", "memory": "100Ki"}}]
        else:
            assert request.query["labelSelector"] == "ecoserve.dev/class=offline"
            usage = [{"name": "a", "usage": {"cpu": "1500000000n", "memory": "1Ki"}}] * 2
            items = [{"metadata": {"namespace": "batch", "name": "job-1"}, "containers": usage}]
        return web.json_response({"kind": "List", "items": items})

    assert read_metrics_api(answer) == {"n1": Sample(Requests(1_200, 98 * 1024))}


@pytest.mark.parametrize("read", [read_prometheus, read_metrics_api])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "{}"),
        (500, "oops"),
        (200, "<html>"),
        (200, "[]"),
        (200, "{}"),
        (200, json.dumps({"items": [1]})),
        (200, json.dumps({"data": {"result": [{"metric": "n1", "value": [0, "1"]}]}})),
        (200, json.dumps({"data": {"result": [{"metric": {"node": ["n1"]}, "value": [0, "1"]}]}})),
        (200, json.dumps({"data": {"result": [{"metric": {"node": "n1"}, "value": [0, [1]]}]}})),
        (200, json.dumps({"data": {"result": [{"metric": {"node": "n1"}, "value": [0, "a"]}]}})),
    ],
)
def test_a_source_that_answers_otherwise_is_one_sentence(read, status, body):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type="application/json")

    with pytest.raises(SourceError) as caught:
        read(answer)
    assert "\n" not in str(caught.value)


def test_an_answer_of_thousands_of_nodes_is_read_to_its_end():
    use = vector(*(({"node": f"n{number}"}, "1.5") for number in range(5_000)))

    async def answer(request: web.Request) -> web.StreamResponse:
        query = (await request.post())["query"]
        if "(node)" not in query or "pressure" in query:
            return vector()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for start in range(0, len(use.body), 50_000):
            await response.write(use.body[start : start + 50_000])
            await asyncio.sleep(0)
        return response

    found = read_prometheus(answer)
    assert len(found) == 5_000
    assert set(found.values()) == {Sample(Requests(1_500, 2))}


def test_what_prometheus_says_of_a_query_it_refuses_is_passed_on():
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(
            {"status": "error", "errorType": "execution", "error": "too many\nsamples"}, status=422
        )

    with pytest.raises(SourceError, match=r"^Prometheus answered 422: too many samples$"):
        read_prometheus(answer)


def test_prometheus_without_node_labels_is_told_apart_from_idle_nodes():
    async def answer(_: web.Request) -> web.Response:
        return vector(({"instance": "10.0.0.1"}, "4"))

    with pytest.raises(SourceError, match="label node"):
        read_prometheus(answer)
