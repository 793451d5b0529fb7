"""The operator's job on a real API server: Deployments appear, move, stay and go as they should."""

from typing import Any

import pytest

pytestmark = pytest.mark.devcluster


def intensities(plan: Any) -> dict[str, float]:
    return {zone["name"]: zone["carbonIntensity"] for zone in plan["spec"]["zones"]}


def placed(world: Any, name: str) -> None:
    world.eventually(world.has_condition(name, "Ready", "True", "Placed"))


def test_a_serving_gets_a_deployment_on_the_cleaner_zone_with_all_it_needs(world: Any) -> None:
    world.serve("chat")
    placed(world, "chat")

    (deployment,) = world.get("deployments")
    serving = world.get("llmserving", "chat")
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "LLMServing",
        serving["metadata"]["uid"],
        True,
    )
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["ecoserve.dev/serving"] == "chat"
    assert labels["ecoserve.dev/role"] == "both"
    assert labels["ecoserve.dev/class"] == "online"
    assert labels["ecoserve.dev/pool"] == "g6-48xlarge.west.2024-02-01"

    pod = deployment["spec"]["template"]["spec"]
    assert pod["schedulerName"] == "ecoserve"
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    wanted = {e["key"]: (e["operator"], e.get("values")) for e in term["matchExpressions"]}
    assert wanted["topology.kubernetes.io/zone"] == ("In", ["west"])
    assert wanted["ecoserve.dev/installed"] == ("In", ["2024-02-01"])
    sidecar, engine = pod["containers"]
    parallel = engine["resources"]["limits"]["nvidia.com/gpu"]
    assert engine["resources"]["requests"]["nvidia.com/gpu"] == parallel
    assert engine["args"] == ["--model=meta-llama/Llama-3.1-8B-Instruct", f"--tp={parallel}", "$HOME"]
    assert "nvidia.com/gpu" not in sidecar.get("resources", {}).get("requests", {})
    assert {t["key"] for t in pod["tolerations"]} == {"nvidia.com/gpu"}

    (share,) = serving["status"]["pools"]
    assert share["pool"] == labels["ecoserve.dev/pool"]
    assert share["readyReplicas"] == share["replicas"] >= 1
    assert serving["status"]["operationalGramsPerHour"] > 0 < serving["status"]["embodiedGramsPerHour"]
    plan = world.eventually(lambda: world.plan() if world.plan()["status"]["phase"] == "Applied" else None)
    assert [p["pool"] for p in plan["spec"]["placements"]] == [share["pool"]]
    assert serving["status"]["plan"] == plan["spec"]["id"]
    world.eventually(lambda: world.get("llmserving", "chat")["status"].get("designPoints"))
    reasons = {event["reason"] for event in world.get("events") if event["involvedObject"]["name"] == "chat"}
    assert {"PlacementChanged", "Planned", "Placed"} <= reasons


def test_a_change_of_intensity_moves_replicas_without_a_gap(world: Any) -> None:
    world.serve("chat")
    placed(world, "chat")
    world.intensity(west=700, east=20)

    seen: list[int] = []

    def moved() -> bool:
        ready = world.replicas_by_zone("chat")
        seen.append(sum(ready.values()))
        return set(ready) == {"east"} and ready["east"] >= 1

    world.eventually(moved)
    assert min(seen) >= 1, "make before break: something was ready all the time"
    placed(world, "chat")


def test_a_small_change_of_intensity_moves_nothing(world: Any) -> None:
    world.intensity(west=300, east=310)
    world.serve("chat")
    placed(world, "chat")
    before = world.get("deployments")[0]["metadata"]
    world.intensity(west=310, east=300)

    def heeded() -> Any:
        plan = world.plan()
        return plan if {"west": 310, "east": 300}.items() <= intensities(plan).items() else None

    (placement,) = world.eventually(heeded)["spec"]["placements"]  # a plan is told before it is carried out
    assert ".west." in placement["pool"]
    after = world.get("deployments")
    assert [(d["metadata"]["name"], d["metadata"]["generation"]) for d in after] == [
        (before["name"], before["generation"])
    ]


def test_a_deleted_node_is_survived(world: Any) -> None:
    world.serve("chat")
    placed(world, "chat")
    node = world.node("west", "g6.48xlarge")
    world.cluster.kubectl("delete", "node", node["metadata"]["name"], "--wait=false")
    try:
        world.eventually(lambda: world.replicas_by_zone("chat").get("east", 0) >= 1)
        placed(world, "chat")
        why = "pool g6-48xlarge.west.2024-02-01 is gone"
        world.eventually(lambda: why in world.get("llmserving", "chat")["status"]["lastChange"]["message"])
    finally:
        world.apply({**node, "metadata": {k: node["metadata"][k] for k in ("name", "labels", "annotations")}})
        world.eventually(lambda: world.node("west", "g6.48xlarge"))


def test_what_cannot_be_met_is_told_and_the_last_good_placement_stays(world: Any) -> None:
    world.serve("chat")
    placed(world, "chat")
    (before,) = world.get("deployments")
    world.patch("llmserving", "chat", {"spec": {"online": {"slo": {"ttft": "1ms", "tpot": "1ms"}}}})
    world.eventually(world.has_condition("chat", "Feasible", "False", "NoHardwareFits"))

    condition = world.condition("chat", "Feasible")
    assert f"slice {world.namespace}/chat/online/" in condition["message"]
    assert "the last good placement stays" in condition["message"]
    (after,) = world.get("deployments")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["replicas"] == before["spec"]["replicas"]
    world.eventually(lambda: world.plan()["status"]["phase"] == "Held")


def test_one_servings_trouble_is_not_anothers(world: Any) -> None:
    world.serve("good")
    world.serve("unknown", model={"name": "nobody/knows-this-model"})
    world.serve(
        "untold", template={"spec": {"containers": [{"name": "e", "image": "x", "args": ["${model}"]}]}}
    )
    world.eventually(world.has_condition("unknown", "Feasible", "False", "UnknownName"))
    assert "nobody/knows-this-model" in world.condition("unknown", "Feasible")["message"]
    world.eventually(world.has_condition("untold", "Applied", "False", "TemplateInvalid"))
    assert "${tensorParallelSize}" in world.condition("untold", "Applied")["message"]
    placed(world, "good")
    assert {d["metadata"]["labels"]["ecoserve.dev/serving"] for d in world.get("deployments")} == {"good"}


def test_who_waits_for_a_changed_spec_to_be_applied_waits_until_it_is(world: Any) -> None:
    """For replicas, and for a template, of which no pod is ready while as many of the one before are."""
    world.serve("chat")
    placed(world, "chat")
    load = {"requestsPerSecond": 6.5, "inputTokens": 1000, "outputTokens": 130}
    online = {"slo": {"ttft": "2s", "tpot": "120ms"}, "load": load}
    for image in ("vllm", "vllm:2"):
        engine = {"name": "engine", "image": image, "args": ["${model} ${tensorParallelSize}"]}
        world.serve("chat", online=online, template={"spec": {"containers": [engine]}})
        world.cluster.kubectl(
            *("wait", "--for=condition=Applied", "llmserving/chat", "-n", world.namespace, "--timeout=60s")
        )
        (deployment,) = world.get("deployments")
        status = deployment["status"]
        assert status["observedGeneration"] == deployment["metadata"]["generation"]
        assert status["readyReplicas"] == status["updatedReplicas"] == status["replicas"] == 3
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_recommend_reports_only(world: Any) -> None:
    world.serve("advice", policy={"mode": "Recommend"})
    world.eventually(world.has_condition("advice", "Ready", "Unknown", "Recommended"))
    status = world.get("llmserving", "advice")["status"]
    assert status["pools"]
    assert status["readyReplicas"] == 0
    assert world.get("deployments") == []


def test_paused_leaves_everything_as_it_is(world: Any) -> None:
    world.serve("chat")
    placed(world, "chat")
    (before,) = world.get("deployments")
    world.patch("llmserving", "chat", {"spec": {"policy": {"mode": "Paused"}}})
    world.eventually(world.has_condition("chat", "Ready", "Unknown", "Paused"))
    world.intensity(west=700, east=20)
    world.eventually(lambda: intensities(world.plan())["west"] == 700)
    (after,) = world.get("deployments")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_deleting_a_serving_removes_its_children(world: Any) -> None:
    world.serve("chat")
    placed(world, "chat")
    world.cluster.kubectl("delete", "llmserving", "chat", "-n", world.namespace)
    world.eventually(lambda: not world.get("deployments") and not world.get("pods"))


def test_offline_traffic_may_run_on_cpus_with_the_offline_priority(world: Any) -> None:
    load = {"requestsPerSecond": 0.05, "inputTokens": 512, "outputTokens": 64}
    cpu_template = {
        "spec": {"containers": [{"name": "engine", "image": "llama.cpp", "args": ["-m=${model}"]}]}
    }
    world.serve("batch", online=None, offline={"load": load}, cpuTemplate=cpu_template)
    placed(world, "batch")
    (deployment,) = world.get("deployments")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == "ecoserve-offline"
    assert deployment["metadata"]["labels"]["ecoserve.dev/pool"] == "m7i-48xlarge.west.2024-01-01"
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["requests"]
    assert pod["containers"][0]["args"] == ["-m=meta-llama/Llama-3.1-8B-Instruct"]
