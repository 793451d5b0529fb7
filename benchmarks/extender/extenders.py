"""Our extender and the two that do nothing, running beside a cluster."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from ecoserve_devcluster import Cluster, Process
from ecoserve_devcluster.paths import cache_folder
from ecoserve_devcluster.toolchain import find_go

_HERE = Path(__file__).parent
_LOOK_SECONDS = 0.05
_NOTHING_TO_WRITE = 'ecoserve_extender_cache_entries{kind="decisions to write"} 0.0'


def build_go_noop() -> Path:
    """Build the Go extender into the user's cache."""
    built = cache_folder() / "bench-noop-extender"
    subprocess.run([find_go(), "build", "-o", built, "."], cwd=_HERE / "noop_go", check=True)
    return built


def local_url(port: int) -> str:
    """Return the address of an extender."""
    return f"http://127.0.0.1:{port}"


def start_ours(cluster: Cluster, name: str, port: int) -> Process:
    """Start our extender, and return once it answers."""
    arguments = [f"--kubeconfig={cluster.kubeconfig}", f"--port={port}", "--log-level=warning"]
    arguments.append("--decisions-per-second=100")  # a turn waits for the last, after all are bound
    command = [sys.executable, "-m", "ecoserve_extender.main", *arguments]
    return cluster.run(name, command, health_url=f"{local_url(port)}/healthz")


def wait_ready(client: httpx.Client, port: int) -> None:
    """Wait until an extender of ours has filled its caches."""
    while client.get(f"{local_url(port)}/readyz").status_code != httpx.codes.OK:
        time.sleep(_LOOK_SECONDS)


def quiet_client() -> httpx.Client:
    """Return a client that is to be kept: one for each look would take more CPU than what is measured."""
    return httpx.Client(trust_env=False)


class Extenders:
    """All three."""

    def __init__(self, cluster: Cluster, go: Path) -> None:
        self._cluster = cluster
        self._client = quiet_client()
        self.ports = {name: cluster.free_port() for name in ("ours", "noop", "go")}
        start_ours(cluster, "extender", self.ports["ours"])
        noop = [sys.executable, str(_HERE / "noop.py"), str(self.ports["noop"])]
        cluster.run("noop", noop, health_url=f"{self.url('noop')}/healthz")
        cluster.run("go-noop", [str(go), str(self.ports["go"])], health_url=f"{self.url('go')}/healthz")

    def url(self, name: str) -> str:
        """Return the address of one of them."""
        return local_url(self.ports[name])

    def settled(self) -> bool:
        """Tell whether ours has written all decisions."""
        text = self._client.get(f"{self.url('ours')}/metrics").text
        return any(line == _NOTHING_TO_WRITE for line in text.splitlines())

    def restarted(self) -> tuple[float, float]:
        """Return seconds from start to filled caches of a fresh process, and its resident MB some seconds later."""
        port = self._cluster.free_port()
        began = time.monotonic()
        process = start_ours(self._cluster, "fresh", port)
        wait_ready(self._client, port)
        ready = time.monotonic() - began
        time.sleep(5)
        resident = psutil.Process(process.pid).memory_info().rss / 1e6
        process.stop()
        return ready, resident
