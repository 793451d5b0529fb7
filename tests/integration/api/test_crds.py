"""The CRDs on a real API server: what it takes, how it completes it, and what it shows."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ecoserve_devcluster import Cluster, KubectlError

Manifests = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("plural", "scope", "short", "has_status"),
    [
        ("llmservings", "Namespaced", "llms", True),
        ("placementplans", "Cluster", "pplan", True),
        ("hardwareprofiles", "Cluster", "hwp", False),
        ("gridzones", "Cluster", "gz", True),
    ],
)
def test_kind_is_served(api: Cluster, plural: str, scope: str, short: str, has_status: bool) -> None:
    crd = json.loads(api.kubectl("get", "crd", f"{plural}.ecoserve.dev", "--output=json"))
    conditions = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions
    assert crd["spec"]["scope"] == scope
    assert crd["spec"]["names"]["shortNames"] == [short]
    assert ("subresources" in crd["spec"]["versions"][0]) is has_status


def test_category_lists_all_kinds(api: Cluster) -> None:
    listed = api.kubectl("api-resources", "--categories=ecoserve", "--output=name").split()
    assert sorted(listed) == [
        "gridzones.ecoserve.dev",
        "hardwareprofiles.ecoserve.dev",
        "llmservings.ecoserve.dev",
        "placementplans.ecoserve.dev",
    ]


def test_serving_is_kept_as_written(submit: Manifests, good: Manifests) -> None:
    written = good("LLMServing")
    stored = submit(written)["spec"]
    assert stored["template"] == written["spec"]["template"]
    assert stored["placement"] == written["spec"]["placement"]
    assert stored["online"]["slo"] == written["spec"]["online"]["slo"]


def test_serving_is_completed(submit: Manifests, good: Manifests) -> None:
    least = good(
        "LLMServing",
        {
            "spec.model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
            "spec.online.slo": {"ttft": "500ms", "tpot": "50ms"},
            "spec.offline": {"load": {"trace": {"name": "azure-code-2023"}}},
            "spec.placement": None,
            "spec.policy": None,
        },
    )
    stored = submit(least)["spec"]
    assert stored["model"]["precision"] == "bf16"
    assert stored["online"]["slo"]["percentile"] == 90
    assert stored["offline"] == {
        "deadline": "24h",
        "defer": True,
        "load": {"profile": "flat", "trace": {"name": "azure-code-2023", "scale": 1}},
    }
    assert stored["placement"] == {"minReplicas": 1, "maxReplicas": 64, "roles": ["both"], "cpu": True}
    assert stored["policy"] == {"mode": "Enforce", "objective": "carbon", "maxDipPercent": 0}


def test_measured_load_is_completed_and_needs_no_other(submit: Manifests, good: Manifests) -> None:
    offline = {"prometheus": {"queries": {"requests": "offline_rps", "waiting": "queue_depth"}}}
    measured = good("LLMServing", {"spec.online.load": {"prometheus": {}}, "spec.offline": {"load": offline}})
    stored = submit(measured)["spec"]
    found = stored["online"]["load"]["prometheus"]
    assert (found["intervalSeconds"], found["windowSeconds"]) == (30, 300)
    assert stored["offline"]["load"]["prometheus"]["queries"] == offline["prometheus"]["queries"]


def test_partial_placement_is_completed_before_its_rules_apply(submit: Manifests, good: Manifests) -> None:
    stored = submit(good("LLMServing", {"spec.placement": {"maxReplicas": 8}}))["spec"]
    assert stored["placement"] == {"minReplicas": 1, "maxReplicas": 8, "roles": ["both"], "cpu": True}


def test_zone_and_profile_are_completed(submit: Manifests, good: Manifests) -> None:
    stored = submit(good("GridZone"))["spec"]
    assert (stored["pue"], stored["signal"], stored["fallbackGramsPerKilowattHour"]) == (1.12, "average", 481)
    series = good("GridZone", {"spec.intensity": {"configMap": {"namespace": "grid", "name": "ciso"}}})
    assert submit(series)["spec"]["intensity"]["configMap"]["key"] == "intensity.csv"
    profile = good("HardwareProfile")
    assert submit(profile)["spec"] == {**profile["spec"], "nodeShapes": [], "profiles": []}
    point = {"inputTokens": 1024, "outputTokens": 128, "batch": 16, "tpotSeconds": 0.025}
    measured = {"model": "Qwen/Qwen3-8B", "tensorParallel": 1, "points": [point]}
    (stored,) = submit(good("HardwareProfile", {"spec.profiles": [measured]}))["spec"]["profiles"]
    assert stored == {
        **measured,
        "precision": "bf16",
        "origin": "",
        "points": [{**point, "phasesApart": False}],
    }


def test_columns_show_the_state(api: Cluster, namespace: str, good: Manifests) -> None:
    serving = good("LLMServing", {"metadata.namespace": namespace})
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(serving))
    status = {
        "replicas": 3,
        "gramsPerHour": 512.5,
        "savedPercent": 17.5,
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Applying",
                "message": "1 of 3 replicas is ready",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    patch = json.dumps({"status": status})
    api.kubectl(
        "patch", "llms", "chat", "-n", namespace, "--subresource=status", "--type=merge", "--patch", patch
    )
    header, row = api.kubectl("get", "llms", "--namespace", namespace).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "REPLICAS", "GCO2E/H", "SAVED%", "AGE"]
    assert row.split()[:-1] == ["chat", "False", "Applying", "3", "512.5", "17.5"]
    wide = api.kubectl("get", "llms", "--namespace", namespace, "--output=wide")
    assert "meta-llama/Llama-3.1-8B-Instruct" in wide
    assert "llmserving.ecoserve.dev/chat" in api.kubectl(
        "get", "ecoserve", "--namespace", namespace, "--output=name"
    )


def test_status_is_a_subresource(api: Cluster, namespace: str, good: Manifests) -> None:
    serving = good("LLMServing", {"metadata.namespace": namespace})
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump({**serving, "status": {"replicas": 7}}))
    stored = json.loads(api.kubectl("get", "llms", "chat", "-n", namespace, "--output=json"))
    assert "status" not in stored
    bad = json.dumps({"status": {"gramsPerHour": -1}})
    with pytest.raises(KubectlError, match="gramsPerHour in body should be greater than or equal to 0"):
        api.kubectl(
            "patch", "llms", "chat", "-n", namespace, "--subresource=status", "--type=merge", "--patch", bad
        )
