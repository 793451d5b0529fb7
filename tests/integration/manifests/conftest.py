"""The real helm, and a cluster of its own with the chart installed."""

import functools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoserve_devcluster import Cluster, ClusterSettings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm" / "ecoserve"
NAMESPACE = "ecoserve-system"
OPTIONS = "networkPolicy.create=true,extender.service.create=true,extender.service.tlsSecret=tls"  # more objects for the API server to judge

NODE = """
apiVersion: v1
kind: Node
metadata:
  name: system
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: system, kubernetes.io/arch: amd64, kubernetes.io/os: linux}
status:
  allocatable: {cpu: "16", memory: 64Gi, pods: "110"}
  capacity: {cpu: "16", memory: 64Gi, pods: "110"}
"""

Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def helm(binaries: Callable[[str], Path]) -> Helm:
    def helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([binaries("helm"), *arguments], capture_output=True, text=True, check=False)

    return helm


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """Render the chart with `--set` arguments into its objects, once for each set of arguments."""

    @functools.cache
    def render(*settings: str, release: str = "ecoserve") -> list[dict[str, Any]]:
        flags = [argument for setting in settings for argument in ("--set", setting)]
        done = helm("template", release, CHART, "--namespace", NAMESPACE, *flags)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return render


@pytest.fixture(scope="session")
def release(helm: Helm) -> Callable[[Cluster, str], None]:
    """Run a helm verb on the release of a cluster, and wait until it is done."""

    def release(cluster: Cluster, verb: str) -> None:
        chart = [] if verb == "uninstall" else [CHART, "--set", OPTIONS]
        where = ["--namespace", NAMESPACE, "--kubeconfig", cluster.kubeconfig]
        done = helm(verb, "ecoserve", *chart, *where, "--wait", "--timeout", "60s")
        assert done.returncode == 0, done.stderr

    return release


@pytest.fixture(scope="session")
def installed(release: Callable[[Cluster, str], None], binaries: Callable[[str], Path]) -> Iterator[Cluster]:
    """A cluster with a node and the release, in a namespace that enforces restricted pods."""
    del binaries  # they are built by now
    settings = ClusterSettings(audited_namespaces=(NAMESPACE,))
    with Cluster.start(f"charts-{os.getpid()}", settings) as cluster:
        cluster.kubectl("apply", "-f", "-", stdin=NODE)
        cluster.create_namespace(NAMESPACE)
        cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        release(cluster, "install")
        yield cluster
