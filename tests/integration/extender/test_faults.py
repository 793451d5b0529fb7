"""Faults of the extender and around it, with the real scheduler: online pods go on, offline pods wait, nothing overfills."""

import collections
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from ecoserve.api.labels import CARBON_AWARE_RESOURCE, OFFLINE_RESOURCE
from integration.extender.bench import of_another_scheduler, run_extender

pytestmark = pytest.mark.devcluster

Schedule = Callable[..., str]
Metrics = Mapping[str, float]


@pytest.fixture
def second(bench: Any) -> Iterator[Any]:
    """The bench with one more extender, of its own process."""
    process, url = run_extender(bench.cluster, f"second-{secrets.token_hex(2)}", "--thinning-seconds=1")
    yield replace(bench, extender=process, url=url)
    process.stop()


class Broken(ThreadingHTTPServer):
    """Answers the same to everything, after so long; once it is `repaired`, what another extender answers."""

    def __init__(self, body: bytes, status: int, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.body, self.status, self.seconds = body, status, seconds
        self.asked: list[str] = []
        self.repaired: str | None = None
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Broken

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        status, body = self.server.status, self.server.body
        if self.server.repaired is not None:
            answer = httpx.post(f"{self.server.repaired}{self.path}", content=asked, trust_env=False)
            status, body = answer.status_code, answer.content
        else:
            threading.Event().wait(self.server.seconds)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def broken() -> Iterator[Callable[[bytes, int, float], Broken]]:
    """`broken(body, status, seconds)`: an extender that is out of order."""
    servers = []

    def start(body: bytes, status: int, seconds: float) -> Broken:
        server = Broken(body, status, seconds)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "status", "seconds", "told"),
    [
        (b"<html>not the extender</html>", 200, 0.0, "invalid character '<'"),
        (b"{}", 500, 0.0, "code 500"),
        (b"{}", 200, 0.0, ""),
        (b'{"Error": "out of order"}', 200, 0.0, "out of order"),
        (b'{"NodeNames": ["a-node-nobody-has"]}', 200, 0.0, "a-node-nobody-has"),
        (b'{"NodeNames": ["n"]}', 200, 2.0, "deadline exceeded"),
    ],
    ids=["garbage", "500", "nothing", "an error", "wrong node", "too slow"],
)
def test_an_extender_out_of_order_holds_up_offline_pods_alone_until_it_is_repaired(
    bench: Any,
    schedule: Schedule,
    broken: Callable[[bytes, int, float], Broken],
    body: bytes,
    status: int,
    seconds: float,
    told: str,
) -> None:
    nodes = node, _ = bench.node("n"), bench.node("gpu", gpus=8)  # of a single one no scores are asked for
    extender = broken(body, status, seconds)
    profile = schedule(extender.url)
    bench.apply(
        of_another_scheduler(bench.pod("web"), profile),
        of_another_scheduler(bench.pod("job", traffic_class="offline"), profile),
    )
    assert bench.placed("web", seconds=30)["web"] in nodes
    assert told in bench.refusal("job", "SchedulerError" if told else "Unschedulable")
    assert set(extender.asked) == {"/filter", "/prioritize"}
    assert "nodeName" not in bench.pods()["job"]["spec"]
    extender.repaired = bench.url
    # One that refused every node looks as if it had answered: kube-scheduler asks again when something happens.
    bench.apply(of_another_scheduler(bench.pod("later"), profile))
    assert bench.placed("job", seconds=30) == {"job": node}


def test_two_schedulers_with_an_extender_each_leave_no_node_overfilled(
    bench: Any, second: Any, schedule: Schedule
) -> None:
    profile = schedule(second.url)
    nodes = [bench.node(f"n{number}") for number in range(3)]
    pods = [bench.pod(f"job-{number}", traffic_class="offline") for number in range(40)]
    for pod in pods[::2]:
        of_another_scheduler(pod, profile)
    bench.apply(*pods)

    def running() -> collections.Counter[str]:
        live = [pod for pod in bench.pods().values() if "deletionTimestamp" not in pod["metadata"]]
        return collections.Counter(pod["spec"].get("nodeName") for pod in live)

    bench.until(lambda: sum(running()[node] for node in nodes) >= 24, "all headroom used", 40)
    # Each may let pods in before it sees the other's: what is too much gives way again, down to half the headroom.
    bench.until(lambda: all(running()[node] <= 9 for node in nodes), "no node beyond its headroom", 40)
    assert sum(running()[node] for node in nodes) >= 20


def test_two_extenders_asked_about_the_same_pods_each_count_those_that_have_not_landed(
    bench: Any, second: Any
) -> None:
    """None lands: what each has answered is all that tells it what is taken."""
    node = bench.node("shared")
    for extender in (bench, second):
        extender.sees(lambda metrics: metrics['ecoserve_extender_cache_entries{kind="nodes"}'] == 1, "it")
        answers = [
            extender.asks(bench.pod(f"job-{number}", traffic_class="offline"), node) for number in range(10)
        ]
        assert [each["NodeNames"] for each in answers] == [[node]] * 8 + [[]] * 2


def test_of_two_extenders_the_one_that_was_asked_writes_the_decisions(bench: Any, second: Any) -> None:
    """The other sees the same binds, waits for what the first writes, and adds nothing of its own."""
    for name in ("n", "m"):
        bench.node(name)
    names = [f"web-{number}" for number in range(6)]
    bench.apply(*(bench.pod(name) for name in names))
    nodes = bench.placed(*names)

    def saw_all(metrics: Metrics) -> bool:
        return metrics['ecoserve_extender_cache_entries{kind="pods"}'] >= len(names)

    def waits_for_none(metrics: Metrics) -> bool:
        return metrics['ecoserve_extender_cache_entries{kind="decisions to write"}'] == 0

    second.sees(saw_all, "all pods")
    second.sees(waits_for_none, "a decision on each")
    assert second.metrics().get('ecoserve_extender_decisions_total{outcome="written"}', 0) == 0
    assert {name: bench.decision(name)["node"] for name in names} == nodes


def test_a_patched_default_scheduler_asks_about_pods_that_opt_in_alone(
    bench: Any, schedule: Schedule
) -> None:
    clean = bench.node("clean", **{"topology.kubernetes.io/zone": "hydro"})
    dirty = bench.node("dirty", **{"topology.kubernetes.io/zone": "coal"})
    bench.plan(
        *(
            bench.pool(zone, zone, {"topology.kubernetes.io/zone": zone}, supply="fixed")
            for zone in ("hydro", "coal")
        ),
        zones={"coal": 800.0, "hydro": 20.0},
    )
    profile = schedule(bench.url, managed_resources=[CARBON_AWARE_RESOURCE])

    def asked() -> float:
        return bench.metrics().get('ecoserve_extender_request_seconds_count{verb="prioritize"}', 0.0)

    before = asked()
    bench.apply(*(of_another_scheduler(bench.pod(f"plain-{n}"), profile) for n in range(4)))
    assert set(bench.placed(*(f"plain-{n}" for n in range(4))).values()) <= {clean, dirty}
    assert asked() == before
    opted, offline = bench.pod("opted"), bench.pod("job", traffic_class="offline")
    for pod in (opted, offline):
        resources = pod["spec"]["containers"][0]["resources"]
        resources["requests"][CARBON_AWARE_RESOURCE] = resources["limits"][CARBON_AWARE_RESOURCE] = "1"
    for pod in (opted, offline):
        pod["spec"]["schedulerName"] = profile
    bench.apply(opted, offline)
    assert bench.placed("opted", "job") == {"opted": clean, "job": clean}
    assert asked() > before
    given = bench.pods()["job"]["spec"]["containers"][0]["resources"]["requests"]
    assert OFFLINE_RESOURCE in given
    assert bench.decision("opted")["runnerUp"] == dirty
