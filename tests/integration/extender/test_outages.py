"""Plans that grow old, clocks that are off, an API server that is away: with the real scheduler, on a cluster of their own.

The extender runs with shorter patience than anybody would give it, and with a clock that is two hours behind.
"""

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ecoserve.api.labels import POOL, SERVING
from ecoserve_devcluster import Cluster, ClusterSettings
from ecoserve_extender.scheduler_config import build_scheduler_configuration
from integration.extender.bench import Bench, of_another_scheduler, prepare, run_extender

pytestmark = pytest.mark.devcluster

_BEHIND_SECONDS = 7200
_SILENCE_SECONDS = 4
_PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from ecoserve_extender import logs
from ecoserve_extender.server import serve
from ecoserve_extender.settings import Settings

given = dict(argument.removeprefix("--").split("=") for argument in sys.argv[1:])
right = time.time
time.time = lambda: right() - float(given["behind"])
logs.configure("info")
patience = {name: float(given[name]) for name in ("plan_stale_seconds", "plan_expired_seconds", "watch_silence_seconds")}
files = {"port": int(given["port"]), "kubeconfig": Path(given["kubeconfig"])}
asyncio.run(serve(Settings(**files, **patience, thinning_seconds=1, unasked_seconds=1)))
"""


def impatient(cluster: Cluster, name: str, *, expired_seconds: float) -> Any:
    """Start such an extender; the process, and where it answers."""
    options = {
        "behind": _BEHIND_SECONDS,
        "plan_stale_seconds": 1,
        "plan_expired_seconds": expired_seconds,
        "watch_silence_seconds": _SILENCE_SECONDS,
    }
    given = (f"--{key}={value}" for key, value in options.items())
    return run_extender(cluster, name, *given, program=("-c", _PROGRAM))


@pytest.fixture(scope="module")
def bench(binaries: Callable[[str], Any]) -> Iterator[Bench]:
    """In the place of the session's: a cluster whose API server may be stopped."""
    del binaries  # they are built by now
    with Cluster.start(f"outages-{os.getpid()}-{secrets.token_hex(2)}", ClusterSettings()) as cluster:
        prepare(cluster)
        namespace = cluster.create_namespace("work")
        extender, url = impatient(cluster, "extender", expired_seconds=3600)
        cluster.start_scheduler("ecoserve", build_scheduler_configuration(url))
        yield Bench(cluster, extender, url, namespace)


def test_a_clock_that_is_off_changes_neither_who_is_placed_nor_who_gives_way_first(bench: Bench) -> None:
    node = bench.node("n")

    def made(name: str) -> tuple[str, str]:
        """Make it anew; when it started, in whole seconds, and its UID."""
        bench.cluster.kubectl("delete", "pod", name, "-n", bench.namespace, "--now", "--ignore-not-found")
        bench.apply(bench.pod(name, cpu="3", traffic_class="offline"))
        assert bench.placed(name) == {name: node}
        start = bench.until(lambda: bench.pods()[name].get("status", {}).get("startTime"), "its start")
        return start, bench.pods()[name]["metadata"]["uid"]

    # To a clock that is behind neither has done any work, and the first by UID would go.
    older = bench.until(lambda: (found := made("older"))[1] < "8" and found, "a UID that sorts early")
    bench.until(lambda: all(new > old for new, old in zip(made("newer"), older, strict=True)), "a later one")
    skew = bench.metrics()["ecoserve_extender_clock_skew_seconds"]
    assert skew == pytest.approx(-_BEHIND_SECONDS, abs=60)
    bench.apply(bench.pod("web", cpu="3500m", node=node))
    bench.until(lambda: set(bench.pods()) == {"older", "web"}, "the one with the least work evicted")


def aged(bench: Bench, plan_seconds: float) -> tuple[str, str, str]:
    """Have a plan grow so old: nodes of a clean and a dirty zone, and a host whose cores it gives to offline work."""
    clean = bench.node("clean", tests="hydro")
    dirty = bench.node("dirty", tests="coal")
    host = bench.node("host", gpus=8, tests="host")
    on_cores = bench.placement(bench.namespace, "batch", "host", tensorParallel=0, **{"class": "offline"})
    bench.apply(bench.pod("load", cpu="4", node=clean))  # kube-scheduler's own scores are for the empty node
    bench.plan(
        *(bench.pool(zone, zone, {"tests": zone}, supply="fixed") for zone in ("hydro", "coal", "host")),
        zones={"coal": 800.0, "hydro": 20.0, "host": 900.0},
        placements=(on_cores,),
    )
    bench.sees(lambda metrics: metrics["ecoserve_extender_plan_age_seconds"] > plan_seconds, "an older plan")
    return clean, dirty, host


def test_a_stale_plan_is_followed_and_said_to_be_stale(bench: Bench) -> None:
    clean, _, host = aged(bench, 1.0)
    replica = bench.pod("replica", traffic_class="offline", **{SERVING: "batch", POOL: "host"})
    bench.apply(bench.pod("web"), bench.pod("job", traffic_class="offline"), replica)
    assert bench.placed("web", "job") == {"web": clean, "job": clean}
    for name in ("web", "job"):
        assert bench.decision(name)["fallback"].startswith("the placement plan was not renewed of late")
    assert bench.placed("replica") == {"replica": host}


def test_a_plan_that_nobody_renews_counts_no_more_and_what_it_allowed_is_refused(
    bench: Bench, schedule: Callable[..., str]
) -> None:
    extender, url = impatient(bench.cluster, "forgetful", expired_seconds=2)
    profile = schedule(url)
    forgetful = Bench(bench.cluster, extender, url, bench.namespace)
    clean, *_ = aged(bench, 1.0)
    forgetful.sees(
        lambda metrics: metrics["ecoserve_extender_plan_age_seconds"] > 2, "a plan that has expired"
    )
    replica = bench.pod("replica", traffic_class="offline", **{SERVING: "batch", POOL: "host"})
    pods = bench.pod("web"), bench.pod("job", traffic_class="offline"), replica
    bench.apply(*(of_another_scheduler(pod, profile) for pod in pods))
    assert bench.placed("web", "job", "replica") == dict.fromkeys(
        ("web", "job", "replica"), clean
    )  # it is on
    told = forgetful.explain("job")["decision"]["fallback"]
    assert told.startswith("the placement plan was not renewed for hours and counts no more")
    extender.stop()


def test_an_api_server_that_is_away_is_noticed_and_what_changed_meanwhile_is_found(bench: Bench) -> None:
    bench.node("gpu", gpus=8)
    bench.node("gone", gpus=8)
    bench.apply(bench.pod("job", traffic_class="offline"))
    assert "2 node(s) have accelerators" in bench.refusal("job")
    api_server = bench.cluster.process("kube-apiserver")

    def restarts(metrics: dict[str, float]) -> float:
        return metrics.get('ecoserve_extender_watch_restarts_total{resource="nodes"}', 0.0)

    before = restarts(bench.metrics())
    os.kill(api_server.pid, signal.SIGSTOP)
    try:
        bench.sees(
            lambda metrics: metrics['ecoserve_extender_cache_age_seconds{resource="nodes"}'] > 3, "its age"
        )
        bench.sees(lambda metrics: restarts(metrics) > before, "the watch given up")
        answer = bench.asks(bench.pod("other", traffic_class="offline"), "gpu", "nowhere")
        assert answer["FailedAndUnresolvableNodes"] == {
            "gpu": "node(s) have accelerators, kept for online serving",
            "nowhere": "node(s) are not known to the carbon extender yet",
        }
    finally:
        os.kill(api_server.pid, signal.SIGCONT)

    os.kill(bench.extender.pid, signal.SIGSTOP)
    try:
        api_server.kill()
        api_server.restart()
        bench.cluster.kubectl("delete", "node", "gone")
        fresh = bench.node("new")
    finally:
        os.kill(bench.extender.pid, signal.SIGCONT)
    assert bench.placed("job", seconds=90) == {"job": fresh}
    bench.sees(lambda metrics: metrics['ecoserve_extender_cache_entries{kind="nodes"}'] == 2, "one node gone")
    listings = [line for line in bench.extender.log.read_text().splitlines() if '"listed"' in line]
    assert sum('"nodes"' in line for line in listings) >= 2  # the version it knew was too old: 410
