"""Faults of the extender and around it, with the real scheduler: online pods go on, offline pods wait, nothing overfills."""

import collections
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from ecoserve.api.labels import CARBON_AWARE_RESOURCE, OFFLINE_RESOURCE
from ecoserve_devcluster import Cluster
from ecoserve_extender.scheduler_config import build_scheduler_configuration

pytestmark = pytest.mark.devcluster

Schedule = Callable[[str, str], None]
Metrics = Mapping[str, float]


@pytest.fixture
def schedule(bench: Any) -> Iterator[Schedule]:
    """`schedule(profile, url)`: one more scheduler, which asks the extender at an address."""
    started = []

    def start(profile: str, url: str) -> None:
        configuration = build_scheduler_configuration(url, profile=profile)
        started.append(bench.cluster.start_scheduler(f"{profile}-{secrets.token_hex(2)}", configuration))

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def second(bench: Any) -> Iterator[Any]:
    """The bench with one more extender, of its own process."""
    cluster: Cluster = bench.cluster
    port = cluster.free_port()
    url = f"http://127.0.0.1:{port}"
    process = cluster.run(
        f"second-{secrets.token_hex(2)}",
        [
            sys.executable, "-m", "ecoserve_extender.main", "--thinning-seconds=1", f"--port={port}",
            f"--kubeconfig={cluster.kubeconfig_for('extender', 'test-extender')}",
        ],
        health_url=f"{url}/readyz",
    )  # fmt: skip
    yield replace(bench, extender=process, url=url)
    process.stop()


@pytest.fixture
def serve() -> Iterator[Callable[[bytes, int, float], str]]:
    """`serve(body, status, seconds)`: the address of something that answers this to everything, after so long."""
    servers = []

    def start(body: bytes, status: int, seconds: float) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                threading.Event().wait(seconds)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def with_scheduler(pod: dict[str, Any], name: str) -> dict[str, Any]:
    pod["spec"]["schedulerName"] = name
    return pod


@pytest.mark.parametrize(
    ("body", "status", "seconds"),
    [
        (b"<html>not the extender</html>", 200, 0.0),
        (b"{}", 500, 0.0),
        (b"{}", 200, 0.0),
        (b'{"Error": "out of order"}', 200, 0.0),
        (b'{"NodeNames": ["a-node-nobody-has"]}', 200, 0.0),
        (b"[]", 200, 2.0),
    ],
    ids=["garbage", "500", "nothing", "an error", "wrong node", "too slow"],
)
def test_an_extender_out_of_order_holds_up_offline_pods_alone(
    bench: Any,
    schedule: Schedule,
    serve: Callable[[bytes, int, float], str],
    body: bytes,
    status: int,
    seconds: float,
) -> None:
    node = bench.node("n")
    profile = f"broken-{secrets.token_hex(2)}"
    schedule(profile, serve(body, status, seconds))
    offline = bench.pod("job", traffic_class="offline")
    limits = {
        "ecoserve.dev/offline": "1"
    }  # as the admission policy gives it to pods of the profile `ecoserve`
    offline["spec"]["containers"][0]["resources"]["requests"] |= limits
    offline["spec"]["containers"][0]["resources"]["limits"] |= limits
    bench.apply(with_scheduler(bench.pod("web"), profile), with_scheduler(offline, profile))
    assert bench.placed("web", seconds=30) == {"web": node}
    bench.until(lambda: bench.events("FailedScheduling"), "an attempt for the offline pod")
    assert "nodeName" not in bench.pods()["job"]["spec"]


def test_two_schedulers_with_an_extender_each_leave_no_node_overfilled(
    bench: Any, second: Any, schedule: Schedule
) -> None:
    profile = f"second-{secrets.token_hex(2)}"
    schedule(profile, second.url)
    nodes = [bench.node(f"n{number}") for number in range(3)]
    pods = [bench.pod(f"job-{number}", traffic_class="offline") for number in range(40)]
    for pod in pods[::2]:
        with_scheduler(pod, profile)
    bench.apply(*pods)

    def running() -> collections.Counter[str]:
        live = [pod for pod in bench.pods().values() if "deletionTimestamp" not in pod["metadata"]]
        return collections.Counter(pod["spec"].get("nodeName") for pod in live)

    bench.until(lambda: sum(running()[node] for node in nodes) >= 24, "all headroom used", 40)
    # Each may let pods in before it sees the other's: what is too much gives way again, down to half the headroom.
    bench.until(lambda: all(running()[node] <= 9 for node in nodes), "no node beyond its headroom", 40)
    assert sum(running()[node] for node in nodes) >= 20


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


def test_while_the_api_server_stands_still_answers_go_on_and_afterwards_the_caches_follow(
    bench: Any, fresh_devcluster: Callable[..., Cluster]
) -> None:
    cluster = fresh_devcluster()
    port = cluster.free_port()
    url = f"http://127.0.0.1:{port}"
    extender = cluster.run(
        "extender",
        [
            sys.executable,
            "-m",
            "ecoserve_extender.main",
            f"--kubeconfig={cluster.kubeconfig}",
            f"--port={port}",
        ],
        health_url=f"{url}/readyz",
    )

    def known() -> float:
        text = httpx.get(f"{url}/metrics", trust_env=False).text
        return next(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith('ecoserve_extender_cache_entries{kind="nodes"}')
        )

    def add(name: str) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(node))

    add("before")
    bench.until(lambda: known() == 1, "the first node")
    (api_server,) = (each for each in cluster.processes() if each.name == "kube-apiserver")
    os.kill(api_server.pid, signal.SIGSTOP)
    try:
        body = {
            "Pod": {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {}},
            "NodeNames": ["before"],
        }
        answer = httpx.post(f"{url}/filter", json=body, trust_env=False)
        assert answer.json()["NodeNames"] == ["before"]
    finally:
        os.kill(api_server.pid, signal.SIGCONT)
    add("after")
    bench.until(lambda: known() == 2, "the second node", 60)
    assert extender.running


def test_a_patched_default_scheduler_asks_about_pods_that_opt_in_alone(bench: Any) -> None:
    clean = bench.node("clean", **{"topology.kubernetes.io/zone": "hydro"})
    dirty = bench.node("dirty", **{"topology.kubernetes.io/zone": "coal"})
    bench.plan(
        *(
            bench.pool(zone, zone, {"topology.kubernetes.io/zone": zone}, supply="fixed")
            for zone in ("hydro", "coal")
        ),
        zones={"coal": 800.0, "hydro": 20.0},
    )
    profile = f"patched-{secrets.token_hex(2)}"
    configuration = build_scheduler_configuration(
        bench.url, profile=profile, managed_resources=[CARBON_AWARE_RESOURCE]
    )
    scheduler = bench.cluster.start_scheduler(profile, configuration)

    def asked() -> float:
        return bench.metrics().get('ecoserve_extender_request_seconds_count{verb="prioritize"}', 0.0)

    try:
        before = asked()
        bench.apply(*(with_scheduler(bench.pod(f"plain-{n}", node=None), profile) for n in range(4)))
        assert set(bench.placed(*(f"plain-{n}" for n in range(4))).values()) <= {clean, dirty}
        assert asked() == before
        opted, offline = bench.pod("opted"), bench.pod("job", traffic_class="offline")
        for pod in (opted, offline):
            resources = pod["spec"]["containers"][0]["resources"]
            resources["requests"][CARBON_AWARE_RESOURCE] = resources["limits"][CARBON_AWARE_RESOURCE] = "1"
        bench.apply(with_scheduler(opted, profile), with_scheduler(offline, profile))
        assert bench.placed("opted", "job") == {"opted": clean, "job": clean}
        assert asked() > before
        given = bench.pods()["job"]["spec"]["containers"][0]["resources"]["requests"]
        assert OFFLINE_RESOURCE in given
        assert bench.decision("opted")["runnerUp"] == dirty
    finally:
        scheduler.stop()
