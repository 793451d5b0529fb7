"""Who may call the extender and how much: real sockets, real certificates, the real scheduler over TLS."""

import contextlib
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ecoserve_devcluster import Cluster, Process
from ecoserve_devcluster.pki import Authority, Pair
from ecoserve_extender.scheduler_config import build_scheduler_configuration

pytestmark = pytest.mark.devcluster

BODY = {"Pod": {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}}, "NodeNames": ["a", "b"]}


@dataclass(frozen=True)
class Secured:
    """An extender with every listener, and who may call it over TLS."""

    process: Process
    local: str
    observed: str
    tls: str
    authority: Authority
    caller: Pair

    def client(self, pair: Pair | None) -> httpx.Client:
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return httpx.Client(verify=context, base_url=self.tls, trust_env=False)


@pytest.fixture(scope="module")
def secured(extender_account: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    cluster = extender_account
    authority = Authority(tmp_path_factory.mktemp("tls"), "calls")
    serving = authority.serving("extender")
    local, observe, tls = cluster.free_port(), cluster.free_port(), cluster.free_port()
    process = cluster.run(
        "secured-extender",
        [
            sys.executable, "-m", "ecoserve_extender.main",
            f"--kubeconfig={cluster.kubeconfig_for('extender', 'test-extender')}",
            f"--port={local}", f"--observe-port={observe}", f"--tls-port={tls}",
            f"--tls-certificate={serving.certificate}", f"--tls-key={serving.key}",
            f"--client-ca={authority.certificate}",
        ],
        health_url=f"http://127.0.0.1:{observe}/readyz",
    )  # fmt: skip
    urls = (f"http://127.0.0.1:{local}", f"http://127.0.0.1:{observe}", f"https://127.0.0.1:{tls}")
    yield Secured(process, *urls, authority, authority.client("scheduler", "scheduler"))
    process.stop()


def test_a_caller_with_a_certificate_is_answered(secured: Secured) -> None:
    with secured.client(secured.caller) as client:
        assert client.post("/filter", json=BODY).json()["NodeNames"] == ["a", "b"]


def test_a_caller_without_one_or_with_a_stranger_s_is_not(secured: Secured, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other", "other").client("scheduler", "scheduler")
    for pair in (None, stranger):
        with secured.client(pair) as client, pytest.raises((httpx.TransportError, ssl.SSLError)):
            client.post("/filter", json=BODY).raise_for_status()


def test_what_only_looks_is_served_apart_and_decides_nothing(secured: Secured) -> None:
    with httpx.Client(base_url=secured.observed, trust_env=False) as client:
        assert client.get("/healthz").status_code == 200
        assert "ecoserve_extender_request_seconds" in client.get("/metrics").text
        assert client.get("/explain", params={"pod": "n/nobody"}).status_code == 404
        assert client.post("/filter", json=BODY).status_code == 404
        assert client.post("/prioritize", json=BODY).status_code == 404


def test_a_body_that_no_scheduler_sends_is_not_read_to_its_end(secured: Secured) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 2**20

    for body in (b" " * (17 * 2**20), endless()):
        # The answer comes while the client still writes: it reads it, or finds the connection closed.
        with (
            httpx.Client(base_url=secured.local, trust_env=False, timeout=20) as client,
            contextlib.suppress(httpx.WriteError),
        ):
            assert client.post("/filter", content=body).status_code == 413
    assert httpx.post(f"{secured.local}/filter", json=BODY, trust_env=False).status_code == 200
    counted = httpx.get(f"{secured.observed}/metrics", trust_env=False).text
    assert 'ecoserve_extender_refused_calls_total{reason="too_long",verb="filter"} 2.0' in counted


def test_the_scheduler_places_pods_through_an_extender_behind_tls(secured: Secured, bench: Any) -> None:
    node = bench.node("n")
    configuration = build_scheduler_configuration(secured.tls, profile="over-tls", ignorable=False)
    for entry in configuration["extenders"]:
        entry["enableHTTPS"] = True
        entry["tlsConfig"] = {
            "certFile": str(secured.caller.certificate),
            "keyFile": str(secured.caller.key),
            "caFile": str(secured.authority.certificate),
        }
    scheduler = bench.cluster.start_scheduler("over-tls", configuration)
    try:
        pod = bench.pod("web")
        pod["spec"]["schedulerName"] = "over-tls"
        bench.apply(pod)
        assert bench.placed("web") == {"web": node}
        answered = httpx.get(
            f"{secured.observed}/explain", params={"pod": f"{bench.namespace}/web"}, trust_env=False
        )
        assert answered.json()["decision"]["node"] == node
    finally:
        scheduler.stop()
