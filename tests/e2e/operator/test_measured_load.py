"""Load measured by a real Prometheus: replicas follow it, and stay when it falls silent or tells what can't be."""

import math
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster


def test_replicas_follow_measured_load_and_stay_when_it_cannot_be_and_when_prometheus_is_gone(
    world: Any, operator: Any, prometheus: Any, vllm: Any
) -> None:
    measured = {
        "url": prometheus.url,
        "engine": "vllm",
        "selector": {"model_name": "m"},
        "intervalSeconds": 1,
        "windowSeconds": 10,
    }

    def replicas() -> int:
        return sum(world.replicas_by_zone("chat").values())

    def ready() -> None:
        try:
            world.eventually(world.has_condition("chat", "Ready", "True"), seconds=60)
        except AssertionError:
            print(world.get("llmserving", "chat")["status"], operator.tail(60))
            raise

    def why() -> str:
        return str(world.condition("chat", "LoadDataFresh")["message"])

    def generations() -> dict[str, int]:
        return {item["metadata"]["name"]: item["metadata"]["generation"] for item in world.get("deployments")}

    world.serve("chat", online={"slo": {"ttft": "2s", "tpot": "100ms"}, "load": {"prometheus": measured}})
    world.eventually(world.has_condition("chat", "LoadDataFresh", "False", "NotMeasuredYet"))
    world.eventually(world.has_condition("chat", "Feasible", "Unknown", "LoadNotMeasured"))
    assert replicas() == 0

    vllm.play("azure-conversation-2023", requests_per_second=1.0)
    world.eventually(world.has_condition("chat", "LoadDataFresh", "True", "Measured"), seconds=60)
    ready()
    before = replicas()
    assert before >= 1

    vllm.play(
        "azure-conversation-2023", requests_per_second=3.5
    )  # more would fill the node: no room to change in
    world.eventually(lambda: replicas() > before, seconds=90)
    world.eventually(
        lambda: world.get("llmserving", "chat")["status"]["load"]["online"]["requestsPerSecond"] > 2.5
    )
    ready()

    vllm.queue(-5)
    world.eventually(world.has_condition("chat", "LoadDataFresh", "False", "HeldAtLastValue"), seconds=90)
    assert "waiting requests are -5.0, which can't be" in why()
    ready()
    held, running = generations(), replicas()
    vllm.queue(math.nan)
    world.eventually(lambda: "nothing is measured" in why())
    prometheus.stop()
    world.eventually(lambda: "no answer" in why())
    assert (replicas(), generations()) == (running, held)

    operator.kill()
    operator.restart()
    world.patch("llmserving", "chat", {"spec": {"placement": {"maxReplicas": 60}}})
    generation = world.get("llmserving", "chat")["metadata"]["generation"]
    world.eventually(
        lambda: world.get("llmserving", "chat")["status"]["observedGeneration"] == generation, seconds=60
    )
    assert (replicas(), generations()) == (running, held)
    assert world.condition("chat", "LoadDataFresh")["reason"] == "HeldAtLastValue"


def test_offline_replicas_follow_the_depth_of_a_queue(
    world: Any, operator: Any, prometheus: Any, vllm: Any
) -> None:
    """It is the queue alone that asks for more; where then nothing comes or ends while all of it waits, that is no load."""
    queue = "sum(vllm:num_requests_waiting)"
    measured = {
        "url": prometheus.url,
        "engine": "vllm",
        "selector": {"model_name": "m"},
        "queries": {"requests": "sum(rate(vllm:request_success_total[10s]))", "waiting": queue},
        "intervalSeconds": 1,
        "windowSeconds": 10,
    }

    def running() -> dict[str, int]:
        """Ready replicas by Deployment: of another kind a larger load may need fewer."""
        return {
            item["metadata"]["name"]: item["status"].get("readyReplicas", 0)
            for item in world.get("deployments")
            if item["metadata"]["labels"]["ecoserve.dev/serving"] == "batch"
        }

    def works_off() -> Any:
        """What is told of the queue, once an hour's worth of it is planned for beside what comes."""
        told = world.get("llmserving", "batch")["status"].get("offline", {})
        return told if (told.get("requestsPerSecond") or 0.0) > 5.0 else None

    vllm.play("azure-conversation-2023", requests_per_second=1.0)
    world.serve("batch", online=None, offline={"deadline": "4h", "load": {"prometheus": measured}})
    world.eventually(world.has_condition("batch", "LoadDataFresh", "True", "Measured"), seconds=60)
    world.eventually(world.has_condition("batch", "Ready", "True"), seconds=90)
    before = running()

    vllm.queue(18_000)
    told = world.eventually(works_off, seconds=90)
    assert sum(cohort["requests"] for cohort in told["backlog"]) == pytest.approx(18_000, rel=0.02)
    try:  # a change that finds no room beside what is ready is planned again after three minutes
        world.eventually(lambda: running() != before, seconds=260)
    except AssertionError:
        print(before, running(), world.get("llmserving", "batch")["status"], operator.tail(60))
        raise
    world.eventually(world.has_condition("batch", "Ready", "True"), seconds=90)
    assert world.condition("batch", "Feasible")["status"] == "True"

    vllm.play("azure-conversation-2023", requests_per_second=0.0)  # while all of the queue waits
    world.eventually(world.has_condition("batch", "LoadDataFresh", "False", "HeldAtLastValue"), seconds=90)
    assert "something stands still" in world.condition("batch", "LoadDataFresh")["message"]
    world.eventually(world.has_condition("batch", "Ready", "True"), seconds=90)
    assert sum(running().values()) > 0
    assert operator.running
