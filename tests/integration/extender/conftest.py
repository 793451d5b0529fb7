"""Our scheduler and extender on the session's cluster, for the tests of one module."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ecoserve_devcluster import Cluster
from ecoserve_extender.scheduler_config import build_scheduler_configuration
from integration.extender.bench import NODE_LABEL, Bench, prepare, run_extender


@pytest.fixture(scope="session")
def extender_account(devcluster: Cluster) -> Cluster:
    """The session's cluster with our kinds and a ServiceAccount that may do what the extender says it needs."""
    prepare(devcluster)
    return devcluster


@pytest.fixture(scope="module")
def bench(extender_account: Cluster) -> Iterator[Bench]:
    """Our scheduler and extender."""
    cluster = extender_account
    namespace = cluster.create_namespace(f"extender-{secrets.token_hex(3)}")
    extender, url = run_extender(
        cluster, f"{namespace}-extender", "--thinning-seconds=1", "--unasked-seconds=1"
    )
    scheduler = cluster.start_scheduler(f"{namespace}-scheduler", build_scheduler_configuration(url))
    yield Bench(cluster, extender, url, namespace)
    scheduler.stop()
    extender.stop()
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    cluster.kubectl("delete", "placementplan", "current", "--ignore-not-found")


@pytest.fixture(autouse=True)
def _no_plan_no_nodes(bench: Bench) -> Iterator[None]:
    """Each test starts without a plan and leaves neither pods nor nodes."""
    yield
    # All in one request: `delete --all` makes one for each, and waits for it.
    pods = f"/api/v1/namespaces/{bench.namespace}/pods"
    bench.cluster.kubectl("delete", "--raw", f"{pods}?gracePeriodSeconds=0")
    bench.cluster.kubectl("delete", "--raw", f"/api/v1/nodes?labelSelector={NODE_LABEL}%3D{bench.namespace}")
    bench.until(lambda: not bench.pods(), "no pods left")
    bench.cluster.kubectl("delete", "placementplan", "current", "--ignore-not-found")


@pytest.fixture
def schedule(bench: Bench) -> Iterator[Callable[..., str]]:
    """`schedule(url, **options)`: one more scheduler, which asks the extender at an address; the name of its profile."""
    started = []

    def start(url: str, **options: Any) -> str:
        profile = f"another-{secrets.token_hex(2)}"
        configuration = build_scheduler_configuration(url, profile=profile, **options)
        started.append(bench.cluster.start_scheduler(profile, configuration))
        return profile

    yield start
    for process in started:
        process.stop()
