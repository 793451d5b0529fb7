"""Fixtures for all tests: the development cluster's, and a real Prometheus. Profiles of hypothesis.

A check of a commit must tell the same each time, so examples are derived from the tests; `HYPOTHESIS_PROFILE=search` looks for
new ones, which is how properties are to be run while the code that they hold is worked on, and `thorough` for ten times as many.
How a test takes part: `properties`.
"""

import json
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from ecoserve.workload.lengths import length_distribution

pytest_plugins = ["ecoserve_devcluster.pytest_plugin"]

# Of hypothesis's "default" by name: where CI is set in the environment, another profile stands in for what is not said.
_ON_ANY_MACHINE = settings(
    settings.get_profile("default"), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("repeatable", _ON_ANY_MACHINE, derandomize=True, database=None)
settings.register_profile("search", _ON_ANY_MACHINE, print_blob=True)
settings.register_profile("thorough", settings.get_profile("search"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
"""vLLM's bounds, 1-2-5 up to the longest context."""


class VllmExporter:
    """An engine's /metrics under vLLM's names, fed by a replay of a trace's lengths at a rate of one's own."""

    def __init__(self) -> None:
        self._labels = ("m", "0")
        self._rate, self._trace = 0.0, "azure-code-2023"
        self._dice = random.Random(7)  # noqa: S311 - made-up load guards nothing
        self._stop = threading.Event()
        self._registry = CollectorRegistry()
        self._server, _ = start_http_server(0, addr="127.0.0.1", registry=self._registry)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._run, daemon=True)

    def play(self, trace: str, requests_per_second: float) -> None:
        """Have requests of a trace's lengths end at a rate, from now on."""
        self._rate, self._trace = requests_per_second, trace
        if not self._thread.is_alive():
            self._publish()
            self._thread.start()

    def queue(self, requests: int) -> None:
        """Let so many requests wait."""
        self._waiting.labels(*self._labels).set(requests)

    def restart_counters(self) -> None:
        """Begin at zero, as an engine does that was started again."""
        self._withdraw()
        self._publish()

    def vanish(self) -> None:
        """Publish nothing any more."""
        self._rate = 0.0
        self._withdraw()

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def _publish(self) -> None:
        names = ("model_name", "engine")
        self._done = Counter(
            "vllm:request_success", "x", (*names, "finished_reason"), registry=self._registry
        )
        self._waiting = Gauge("vllm:num_requests_waiting", "x", names, registry=self._registry)
        self._running = Gauge("vllm:num_requests_running", "x", names, registry=self._registry)
        self._in = Histogram(
            "vllm:request_prompt_tokens", "x", names, buckets=_TOKENS, registry=self._registry
        )
        self._out = Histogram(
            "vllm:request_generation_tokens", "x", names, buckets=_TOKENS, registry=self._registry
        )
        for metric in (self._waiting, self._running, self._in, self._out):
            metric.labels(*self._labels)
        self._done.labels(*self._labels, "stop")

    def _withdraw(self) -> None:
        for metric in (self._done, self._waiting, self._running, self._in, self._out):
            self._registry.unregister(metric)

    def _run(self) -> None:
        owed, last = 0.0, time.monotonic()
        while not self._stop.wait(0.02):
            now = time.monotonic()
            owed, last = owed + self._rate * (now - last), now
            buckets = length_distribution(self._trace)
            shares = [bucket.share for bucket in buckets]
            for bucket in self._dice.choices(buckets, shares, k=int(owed)):
                self._done.labels(*self._labels, "stop").inc()
                self._in.labels(*self._labels).observe(bucket.input_tokens)
                self._out.labels(*self._labels).observe(bucket.output_tokens)
            owed -= int(owed)


class PrometheusServer:
    """A real Prometheus that scrapes one target four times a second."""

    def __init__(self, binary: Path, folder: Path, target: int) -> None:
        config = folder / "prometheus.yml"
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
                    "scrape_configs": [
                        {"job_name": "engines", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
                    ],
                }
            )
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._ready():
            assert self._process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)

    def query(self, query: str) -> Any:
        """Return the answer to an instant query."""
        return httpx.get(f"{self.url}/api/v1/query", params={"query": query}).json()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def vllm() -> Iterator[VllmExporter]:
    """Give an exporter that publishes nothing until it is told to play."""
    exporter = VllmExporter()
    yield exporter
    exporter.close()


@pytest.fixture
def start_prometheus(
    binaries: Callable[[str], Path], tmp_path: Path, vllm: VllmExporter
) -> Iterator[Callable[..., PrometheusServer]]:
    """Give a function that starts a real Prometheus, which scrapes `vllm`; `past` is OpenMetrics of before."""
    with ExitStack() as stack:

        def start(past: str = "") -> PrometheusServer:
            if past:
                file = tmp_path / "past.txt"
                file.write_text(past)
                blocks = ["tsdb", "create-blocks-from", "openmetrics", file, tmp_path / "data"]
                subprocess.run([binaries("promtool"), *blocks], check=True, capture_output=True)
            server = PrometheusServer(binaries("prometheus"), tmp_path, vllm.port)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def prometheus(start_prometheus: Callable[..., PrometheusServer]) -> PrometheusServer:
    """Give a real Prometheus that scrapes `vllm`."""
    return start_prometheus()
