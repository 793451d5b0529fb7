"""The CRDs on a real API server: what it takes, how it completes it, and in which words it refuses."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ecoserve_devcluster import Cluster, KubectlError

SERVING: dict[str, Any] = yaml.safe_load("""
apiVersion: ecoserve.dev/v1alpha1
kind: LLMServing
metadata: {name: chat, namespace: default}
spec:
  model: {name: meta-llama/Llama-3.1-8B-Instruct, precision: bf16}
  online:
    slo: {ttft: 500ms, tpot: 50ms, percentile: 90}
    load: {requestsPerSecond: 5.5, lengths: azure-conversation-2023}
  offline:
    deadline: 24h
    load: {requestsPerSecond: 2.0, lengths: azure-code-2023}
  placement: {nodeSelector: {}, minReplicas: 1, maxReplicas: 64, roles: [both, prefill, decode], cpu: true}
  policy: {mode: Enforce, objective: carbon}
  template:
    metadata: {labels: {team: chat}}
    spec:
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.11.0
          args: ["--model=${model}", "--tensor-parallel-size=${tensorParallelSize}", "--role=${role}"]
""")

ZONE: dict[str, Any] = yaml.safe_load("""
apiVersion: ecoserve.dev/v1alpha1
kind: GridZone
metadata: {name: us-west}
spec:
  zones: [us-west-2a]
  intensity: {gramsPerKilowattHour: 261}
""")

PROFILE: dict[str, Any] = yaml.safe_load("""
apiVersion: ecoserve.dev/v1alpha1
kind: HardwareProfile
metadata: {name: lab}
spec:
  matchLabels: {lab: "yes"}
  base: p5.48xlarge
""")

ABSENT = object()


def changed(manifest: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with values set, or removed, by dotted path."""
    result = copy.deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
        if value is ABSENT:
            del target[last]
        else:
            target[last] = value
    return result


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


def test_serving_is_kept_as_written(submit: Callable[..., dict[str, Any]]) -> None:
    stored = submit(SERVING)["spec"]
    assert stored["template"] == SERVING["spec"]["template"]
    assert stored["placement"] == SERVING["spec"]["placement"]
    assert stored["online"]["slo"] == SERVING["spec"]["online"]["slo"]


def test_serving_is_completed(submit: Callable[..., dict[str, Any]]) -> None:
    least = changed(
        SERVING,
        {
            "spec.model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
            "spec.online.slo": {"ttft": "500ms", "tpot": "50ms"},
            "spec.offline": {"load": {"trace": {"name": "azure-code-2023"}}},
            "spec.placement": ABSENT,
            "spec.policy": ABSENT,
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
    assert stored["policy"] == {"mode": "Enforce", "objective": "carbon"}


def test_measured_load_is_completed_and_needs_no_other(submit: Callable[..., dict[str, Any]]) -> None:
    offline = {"prometheus": {"queries": {"requests": "offline_rps", "waiting": "queue_depth"}}}
    measured = changed(SERVING, {"spec.online.load": {"prometheus": {}}, "spec.offline": {"load": offline}})
    stored = submit(measured)["spec"]
    found = stored["online"]["load"]["prometheus"]
    assert (found["intervalSeconds"], found["windowSeconds"]) == (30, 300)
    assert stored["offline"]["load"]["prometheus"]["queries"] == offline["prometheus"]["queries"]


def test_partial_placement_is_completed_before_its_rules_apply(submit: Callable[..., dict[str, Any]]) -> None:
    stored = submit(changed(SERVING, {"spec.placement": {"maxReplicas": 8}}))["spec"]
    assert stored["placement"] == {"minReplicas": 1, "maxReplicas": 8, "roles": ["both"], "cpu": True}


def test_zone_and_profile_are_completed(submit: Callable[..., dict[str, Any]]) -> None:
    stored = submit(ZONE)["spec"]
    assert (stored["pue"], stored["signal"], stored["fallbackGramsPerKilowattHour"]) == (1.12, "average", 481)
    series = changed(ZONE, {"spec.intensity": {"configMap": {"namespace": "grid", "name": "ciso"}}})
    assert submit(series)["spec"]["intensity"]["configMap"]["key"] == "intensity.csv"
    assert submit(PROFILE)["spec"] == {**PROFILE["spec"], "nodeShapes": [], "profiles": []}
    point = {"inputTokens": 1024, "outputTokens": 128, "batch": 16, "tpotSeconds": 0.025}
    measured = {"model": "Qwen/Qwen3-8B", "tensorParallel": 1, "points": [point]}
    (stored,) = submit(changed(PROFILE, {"spec.profiles": [measured]}))["spec"]["profiles"]
    assert stored == {
        **measured,
        "precision": "bf16",
        "origin": "",
        "points": [{**point, "phasesApart": False}],
    }


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "measured on both accelerators and cores": (
        PROFILE,
        {
            "spec.profiles": [
                {
                    "model": "m",
                    "tensorParallel": 1,
                    "vcpus": 8,
                    "points": [{"inputTokens": 1, "outputTokens": 1, "batch": 1, "tpotSeconds": 1}],
                }
            ]
        },
        "give exactly one of tensorParallel and vcpus",
    ),
    "measured time of zero": (
        PROFILE,
        {
            "spec.profiles": [
                {
                    "model": "m",
                    "vcpus": 8,
                    "points": [{"inputTokens": 1, "outputTokens": 1, "batch": 1, "tpotSeconds": 0}],
                }
            ]
        },
        "tpotSeconds in body should be greater than 0",
    ),
    "zero rate": (
        SERVING,
        {"spec.online.load.requestsPerSecond": 0},
        "spec.online.load.requestsPerSecond in body should be greater than 0",
    ),
    "negative rate": (
        SERVING,
        {"spec.offline.load.requestsPerSecond": -2.5},
        "spec.offline.load.requestsPerSecond in body should be greater than 0",
    ),
    "rate in words": (
        SERVING,
        {"spec.online.load.requestsPerSecond": "many"},
        'must be of type number: "string"',
    ),
    "two sources of load": (
        SERVING,
        {"spec.online.load.trace": {"name": "azure-code-2023"}},
        "give requestsPerSecond or trace, not both",
    ),
    "no source of load": (
        SERVING,
        {"spec.online.load": {"profile": "flat"}},
        "give requestsPerSecond or trace, not both",
    ),
    "three sources of load": (
        SERVING,
        {"spec.online.load.trace": {"name": "azure-code-2023"}, "spec.online.load.prometheus": {}},
        "give requestsPerSecond or trace, not both",
    ),
    "load measured at two addresses": (
        SERVING,
        {"spec.online.load.prometheus": {"url": "http://prometheus:9090", "account": "prom"}},
        "give url or account, not both",
    ),
    "a selector that is none": (
        SERVING,
        {"spec.online.load.prometheus": {"selector": {"ecoserve.dev/serving": "chat"}}},
        "selector must hold label names as Prometheus has them",
    ),
    "an engine nobody knows": (
        SERVING,
        {"spec.online.load.prometheus": {"engine": "ollama"}},
        'Unsupported value: "ollama"',
    ),
    "both classes measured as the same requests": (
        SERVING,
        {"spec.online.load.prometheus": {}, "spec.offline.load.prometheus": {"intervalSeconds": 5}},
        "requests would count twice",
    ),
    "lengths twice": (
        SERVING,
        {"spec.online.load.inputTokens": 100, "spec.online.load.outputTokens": 100},
        "give either lengths, or both inputTokens and outputTokens",
    ),
    "half of the lengths": (
        SERVING,
        {"spec.online.load": {"requestsPerSecond": 1.0, "inputTokens": 100}},
        "give either lengths, or both inputTokens and outputTokens",
    ),
    "no tokens": (
        SERVING,
        {"spec.online.load": {"requestsPerSecond": 1.0, "inputTokens": 0, "outputTokens": 5}},
        "spec.online.load.inputTokens in body should be greater than 0",
    ),
    "zero trace scale": (
        SERVING,
        {"spec.online.load": {"trace": {"name": "azure-code-2023", "scale": 0}}},
        "spec.online.load.trace.scale in body should be greater than 0",
    ),
    "duration without a unit": (
        SERVING,
        {"spec.online.slo.ttft": "500"},
        "must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m",
    ),
    "duration of zero": (
        SERVING,
        {"spec.online.slo.tpot": "0ms"},
        "must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m",
    ),
    "deadline in words": (
        SERVING,
        {"spec.offline.deadline": "tomorrow"},
        "must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m",
    ),
    "percentile beyond what is measurable": (
        SERVING,
        {"spec.online.slo.percentile": 99.95},
        "spec.online.slo.percentile in body should be less than or equal to 99.9",
    ),
    "missing objective": (
        SERVING,
        {"spec.online.slo": {"ttft": "1s"}},
        "spec.online.slo.tpot: Required value",
    ),
    "no model": (SERVING, {"spec.model": ABSENT}, "spec.model: Required value"),
    "no spec": (SERVING, {"spec": ABSENT}, "spec: Required value"),
    "unknown precision": (
        SERVING,
        {"spec.model.precision": "bf17"},
        'supported values: "bf16", "fp16", "fp8", "int8", "int4", "mxfp4"',
    ),
    "unknown mode": (
        SERVING,
        {"spec.policy.mode": "enforce"},
        'supported values: "Enforce", "Recommend", "Paused"',
    ),
    "unknown objective": (
        SERVING,
        {"spec.policy.objective": "money"},
        'supported values: "carbon", "energy", "cost", "performance"',
    ),
    "unknown role": (
        SERVING,
        {"spec.placement.roles": ["both", "encode"]},
        'supported values: "both", "prefill", "decode"',
    ),
    "min above max": (
        SERVING,
        {"spec.placement": {"minReplicas": 5, "maxReplicas": 2}},
        "minReplicas must not be above maxReplicas",
    ),
    "prefill without decode": (
        SERVING,
        {"spec.placement.roles": ["prefill"]},
        "roles must hold prefill and decode together, or neither",
    ),
    "no roles": (
        SERVING,
        {"spec.placement.roles": []},
        "spec.placement.roles in body should have at least 1 items",
    ),
    "no traffic": (
        SERVING,
        {"spec.online": ABSENT, "spec.offline": ABSENT},
        "give online, offline or both: a serving without traffic can't be planned",
    ),
    "Enforce without a template": (
        SERVING,
        {"spec.template": ABSENT},
        "give a pod template, or set policy.mode to Recommend",
    ),
    "Enforce by default without a template": (
        SERVING,
        {"spec.template": ABSENT, "spec.policy": ABSENT},
        "give a pod template, or set policy.mode to Recommend",
    ),
    "template that is text": (
        SERVING,
        {"spec.template": "vllm"},
        "spec.template in body must be of type object",
    ),
    "unknown field": (SERVING, {"spec.online.slo.tbt": "50ms"}, 'unknown field "spec.online.slo.tbt"'),
    "two sources of intensity": (
        ZONE,
        {"spec.intensity.configMap": {"namespace": "a", "name": "b"}},
        "give exactly one of gramsPerKilowattHour, configMap, electricityMaps",
    ),
    "no source of intensity": (
        ZONE,
        {"spec.intensity": {}},
        "give exactly one of gramsPerKilowattHour, configMap, electricityMaps",
    ),
    "negative intensity": (
        ZONE,
        {"spec.intensity.gramsPerKilowattHour": -1},
        "spec.intensity.gramsPerKilowattHour in body should be greater than or equal to 0",
    ),
    "intensity that is no number": (
        ZONE,
        {"spec.intensity.gramsPerKilowattHour": "NaN"},
        'spec.intensity.gramsPerKilowattHour in body must be of type number: "string"',
    ),
    "PUE below 1": (ZONE, {"spec.pue": 0.9}, "spec.pue in body should be greater than or equal to 1"),
    "unknown signal": (ZONE, {"spec.signal": "mean"}, 'supported values: "average", "marginal"'),
    "accelerator without a count": (
        PROFILE,
        {"spec.accelerator": "h100-sxm"},
        "accelerator and acceleratorCount go together",
    ),
    "count without an accelerator": (
        PROFILE,
        {"spec.acceleratorCount": 8},
        "accelerator and acceleratorCount go together",
    ),
    "profile of nothing": (
        PROFILE,
        {"spec.base": ABSENT, "spec.cpu": "spr-8480"},
        "give base, or all of cpu, vcpus, memoryGib",
    ),
    "profile of all nodes": (
        PROFILE,
        {"spec.matchLabels": {}},
        "spec.matchLabels in body should have at least 1 properties",
    ),
    "unknown supply": (PROFILE, {"spec.supply": "spot"}, 'supported values: "scalable", "fixed"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_object_is_refused_with_what_is_accepted(case: str, refusal: Callable[..., str]) -> None:
    manifest, changes, sentence = REFUSED[case]
    assert sentence in refusal(changed(manifest, changes))


def test_columns_show_the_state(api: Cluster, namespace: str) -> None:
    serving = changed(SERVING, {"metadata.namespace": namespace})
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


def test_status_is_a_subresource(api: Cluster, namespace: str) -> None:
    serving = changed(SERVING, {"metadata.namespace": namespace})
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump({**serving, "status": {"replicas": 7}}))
    stored = json.loads(api.kubectl("get", "llms", "chat", "-n", namespace, "--output=json"))
    assert "status" not in stored
    bad = json.dumps({"status": {"gramsPerHour": -1}})
    with pytest.raises(KubectlError, match="gramsPerHour in body should be greater than or equal to 0"):
        api.kubectl(
            "patch", "llms", "chat", "-n", namespace, "--subresource=status", "--type=merge", "--patch", bad
        )
