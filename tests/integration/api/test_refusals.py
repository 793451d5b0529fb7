"""Objects that the API server has to refuse, and in which words it does."""

from collections.abc import Callable
from typing import Any

import pytest

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "measured on both accelerators and cores": (
        "HardwareProfile",
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
        "HardwareProfile",
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
        "LLMServing",
        {"spec.online.load.requestsPerSecond": 0},
        "spec.online.load.requestsPerSecond in body should be greater than 0",
    ),
    "negative rate": (
        "LLMServing",
        {"spec.offline.load.requestsPerSecond": -2.5},
        "spec.offline.load.requestsPerSecond in body should be greater than 0",
    ),
    "rate in words": (
        "LLMServing",
        {"spec.online.load.requestsPerSecond": "many"},
        'must be of type number: "string"',
    ),
    "two sources of load": (
        "LLMServing",
        {"spec.online.load.trace": {"name": "azure-code-2023"}},
        "give requestsPerSecond or trace, not both",
    ),
    "no source of load": (
        "LLMServing",
        {"spec.online.load": {"profile": "flat"}},
        "give requestsPerSecond or trace, not both",
    ),
    "three sources of load": (
        "LLMServing",
        {"spec.online.load.trace": {"name": "azure-code-2023"}, "spec.online.load.prometheus": {}},
        "give requestsPerSecond or trace, not both",
    ),
    "load measured at two addresses": (
        "LLMServing",
        {"spec.online.load.prometheus": {"url": "http://prometheus:9090", "account": "prom"}},
        "give url or account, not both",
    ),
    "a selector that is none": (
        "LLMServing",
        {"spec.online.load.prometheus": {"selector": {"ecoserve.dev/serving": "chat"}}},
        "selector must hold label names as Prometheus has them",
    ),
    "an engine nobody knows": (
        "LLMServing",
        {"spec.online.load.prometheus": {"engine": "ollama"}},
        'Unsupported value: "ollama"',
    ),
    "both classes measured as the same requests": (
        "LLMServing",
        {"spec.online.load.prometheus": {}, "spec.offline.load.prometheus": {"intervalSeconds": 5}},
        "requests would count twice",
    ),
    "lengths twice": (
        "LLMServing",
        {"spec.online.load.inputTokens": 100, "spec.online.load.outputTokens": 100},
        "give either lengths, or both inputTokens and outputTokens",
    ),
    "half of the lengths": (
        "LLMServing",
        {"spec.online.load": {"requestsPerSecond": 1.0, "inputTokens": 100}},
        "give either lengths, or both inputTokens and outputTokens",
    ),
    "no tokens": (
        "LLMServing",
        {"spec.online.load": {"requestsPerSecond": 1.0, "inputTokens": 0, "outputTokens": 5}},
        "spec.online.load.inputTokens in body should be greater than 0",
    ),
    "zero trace scale": (
        "LLMServing",
        {"spec.online.load": {"trace": {"name": "azure-code-2023", "scale": 0}}},
        "spec.online.load.trace.scale in body should be greater than 0",
    ),
    "duration without a unit": (
        "LLMServing",
        {"spec.online.slo.ttft": "500"},
        "must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m",
    ),
    "duration of zero": (
        "LLMServing",
        {"spec.online.slo.tpot": "0ms"},
        "must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m",
    ),
    "deadline in words": (
        "LLMServing",
        {"spec.offline.deadline": "tomorrow"},
        "must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m",
    ),
    "percentile beyond what is measurable": (
        "LLMServing",
        {"spec.online.slo.percentile": 99.95},
        "spec.online.slo.percentile in body should be less than or equal to 99.9",
    ),
    "missing objective": (
        "LLMServing",
        {"spec.online.slo": {"ttft": "1s"}},
        "spec.online.slo.tpot: Required value",
    ),
    "no model": ("LLMServing", {"spec.model": None}, "spec.model: Required value"),
    "no spec": ("LLMServing", {"spec": None}, "spec: Required value"),
    "unknown precision": (
        "LLMServing",
        {"spec.model.precision": "bf17"},
        'supported values: "bf16", "fp16", "fp8", "int8", "int4", "mxfp4"',
    ),
    "unknown mode": (
        "LLMServing",
        {"spec.policy.mode": "enforce"},
        'supported values: "Enforce", "Recommend", "Paused"',
    ),
    "unknown objective": (
        "LLMServing",
        {"spec.policy.objective": "money"},
        'supported values: "carbon", "energy", "cost", "performance"',
    ),
    "unknown role": (
        "LLMServing",
        {"spec.placement.roles": ["both", "encode"]},
        'supported values: "both", "prefill", "decode"',
    ),
    "min above max": (
        "LLMServing",
        {"spec.placement": {"minReplicas": 5, "maxReplicas": 2}},
        "minReplicas must not be above maxReplicas",
    ),
    "prefill without decode": (
        "LLMServing",
        {"spec.placement.roles": ["prefill"]},
        "roles must hold prefill and decode together, or neither",
    ),
    "no roles": (
        "LLMServing",
        {"spec.placement.roles": []},
        "spec.placement.roles in body should have at least 1 items",
    ),
    "no traffic": (
        "LLMServing",
        {"spec.online": None, "spec.offline": None},
        "give online, offline or both: a serving without traffic can't be planned",
    ),
    "Enforce without a template": (
        "LLMServing",
        {"spec.template": None},
        "give a pod template, or set policy.mode to Recommend",
    ),
    "Enforce by default without a template": (
        "LLMServing",
        {"spec.template": None, "spec.policy": None},
        "give a pod template, or set policy.mode to Recommend",
    ),
    "template that is text": (
        "LLMServing",
        {"spec.template": "vllm"},
        "spec.template in body must be of type object",
    ),
    "unknown field": ("LLMServing", {"spec.online.slo.tbt": "50ms"}, 'unknown field "spec.online.slo.tbt"'),
    "two sources of intensity": (
        "GridZone",
        {"spec.intensity.configMap": {"namespace": "a", "name": "b"}},
        "give exactly one of gramsPerKilowattHour, configMap, electricityMaps",
    ),
    "no source of intensity": (
        "GridZone",
        {"spec.intensity": {}},
        "give exactly one of gramsPerKilowattHour, configMap, electricityMaps",
    ),
    "negative intensity": (
        "GridZone",
        {"spec.intensity.gramsPerKilowattHour": -1},
        "spec.intensity.gramsPerKilowattHour in body should be greater than or equal to 0",
    ),
    "intensity that is no number": (
        "GridZone",
        {"spec.intensity.gramsPerKilowattHour": "NaN"},
        'spec.intensity.gramsPerKilowattHour in body must be of type number: "string"',
    ),
    "PUE below 1": ("GridZone", {"spec.pue": 0.9}, "spec.pue in body should be greater than or equal to 1"),
    "unknown signal": ("GridZone", {"spec.signal": "mean"}, 'supported values: "average", "marginal"'),
    "accelerator without a count": (
        "HardwareProfile",
        {"spec.accelerator": "h100-sxm"},
        "accelerator and acceleratorCount go together",
    ),
    "count without an accelerator": (
        "HardwareProfile",
        {"spec.acceleratorCount": 8},
        "accelerator and acceleratorCount go together",
    ),
    "profile of nothing": (
        "HardwareProfile",
        {"spec.base": None, "spec.cpu": "spr-8480"},
        "give base, or all of cpu, vcpus, memoryGib",
    ),
    "profile of all nodes": (
        "HardwareProfile",
        {"spec.matchLabels": {}},
        "spec.matchLabels in body should have at least 1 properties",
    ),
    "unknown supply": ("HardwareProfile", {"spec.supply": "spot"}, 'supported values: "scalable", "fixed"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_object_is_refused_with_what_is_accepted(
    case: str, good: Callable[..., dict[str, Any]], refusal: Callable[..., str]
) -> None:
    kind, changes, sentence = REFUSED[case]
    assert sentence in refusal(good(kind, changes))
