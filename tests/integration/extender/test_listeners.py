"""Who may call the extender and how much: real sockets, real certificates, the real scheduler over TLS."""

import contextlib
import shutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ecoserve_devcluster import Cluster, Process
from ecoserve_devcluster.pki import Authority, Pair
from integration.extender.bench import of_another_scheduler, run_extender

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
    observe, tls = cluster.free_port(), cluster.free_port()
    process, local = run_extender(
        cluster,
        "secured-extender",
        f"--observe-port={observe}",
        f"--tls-port={tls}",
        f"--tls-certificate={serving.certificate}",
        f"--tls-key={serving.key}",
        f"--client-ca={authority.certificate}",
    )
    urls = (local, f"http://127.0.0.1:{observe}", f"https://127.0.0.1:{tls}")
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


def test_the_scheduler_places_pods_through_an_extender_behind_tls(
    secured: Secured, bench: Any, schedule: Callable[..., str], tmp_path: Path
) -> None:
    """And believes no certificate of another authority's: online pods go on as without an extender, offline ones wait."""
    node = bench.node("n")
    trusting, strangers = tmp_path / "trusting", tmp_path / "strangers"
    other = Authority(tmp_path / "other", "other")
    for folder, authority in ((trusting, secured.authority), (strangers, other)):
        folder.mkdir()
        shutil.copy(authority.certificate, folder / "ca.crt")
        shutil.copy(secured.caller.certificate, folder / "tls.crt")
        shutil.copy(secured.caller.key, folder / "tls.key")
    profile = schedule(secured.tls, tls_folder=str(trusting))
    bench.apply(
        *(
            of_another_scheduler(pod, profile)
            for pod in (bench.pod("web"), bench.pod("job", traffic_class="offline"))
        )
    )
    assert bench.placed("web", "job") == {"web": node, "job": node}

    def seen_on() -> Any:
        explain = f"{secured.observed}/explain"
        answered = httpx.get(explain, params={"pod": f"{bench.namespace}/job"}, trust_env=False)
        return answered.json()["decision"]["node"]

    assert bench.until(seen_on, "the extender to see the bind") == node

    profile = schedule(secured.tls, tls_folder=str(strangers))
    pods = bench.pod("web-of-strangers"), bench.pod("job-of-strangers", traffic_class="offline")
    bench.apply(*(of_another_scheduler(pod, profile) for pod in pods))
    assert bench.placed("web-of-strangers") == {"web-of-strangers": node}
    bench.until(lambda: "certificate signed by unknown authority" in bench.events("FailedScheduling"), "it")
    assert "nodeName" not in bench.pods()["job-of-strangers"]["spec"]
