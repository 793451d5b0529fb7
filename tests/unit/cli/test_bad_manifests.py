"""Mistakes in manifests and on the command line: one sentence that names what is wrong, exit status 2, nothing else."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from ecoserve.cli.app import run

Refused = Callable[[list[str]], str]
WriteWorld = Callable[..., list[str]]

MANIFEST_MISTAKES = {
    "ttft without unit": ("serving", "spec/online/slo/ttft", "500", "with a unit, such as 500ms"),
    "ttft as a number": ("serving", "spec/online/slo/ttft", 500, "with a unit, such as 500ms"),
    "ttft of zero": ("serving", "spec/online/slo/ttft", "0s", "with a unit, such as 500ms"),
    "a deadline without end": ("serving", "spec/offline/deadline", "9" * 30 + "d", "spec.offline.deadline"),
    "an unknown precision": ("serving", "spec/model/precision", "fp17", "'bf16', 'fp16', 'fp8'"),
    "an unknown model": ("serving", "spec/model/name", "nobody/knows", "LLMServing chat: model"),
    "unknown lengths": ("serving", "spec/offline/load/lengths", "azure", "azure-code-2023"),
    "text for a rate": ("serving", "spec/online/load/requestsPerSecond", "2", "requestsPerSecond: '2'"),
    "truth for a rate": ("serving", "spec/online/load/requestsPerSecond", True, "requestsPerSecond: True"),
    "a rate of NaN": ("serving", "spec/online/load/requestsPerSecond", math.nan, "requestsPerSecond: nan"),
    "a rate without end": ("serving", "spec/online/load/requestsPerSecond", 1e300, "requestsPerSecond: 1e+300"),
    "tokens in thousands": ("serving", "spec/online/load/inputTokens", "4k", "inputTokens: '4k'"),
    "a percentile as a share": ("serving", "spec/online/slo/percentile", 0.9, "percentile: 0.9"),
    "limits upside down": ("serving", "spec/placement/minReplicas", 9, "minReplicas must not be above"),
    "half of the roles": ("serving", "spec/placement/roles", ["prefill"], "prefill and decode together"),
    "no roles": ("serving", "spec/placement/roles", [], "spec.placement.roles"),
    "text for truth": ("serving", "spec/placement/cpu", "yes", "spec.placement.cpu: 'yes'"),
    "text for deferral": ("serving", "spec/offline/defer", "no", "spec.offline.defer: 'no'"),
    "an unknown mode": ("serving", "spec/policy/mode", "enforce", "'Enforce', 'Recommend' or 'Paused'"),
    "an unknown field": ("serving", "spec/modle", "x", "spec.modle"),
    "no name": ("serving", "metadata/name", "", "metadata.name"),
    "PUE in percent": ("zone", "spec/pue", 120, "spec.pue: 120"),
    "PUE below one": ("zone", "spec/pue", 0.8, "spec.pue: 0.8"),
    "intensity in mg": ("zone", "spec/intensity/gramsPerKilowattHour", 450_000, "450000"),
    "intensity below zero": ("zone", "spec/intensity/gramsPerKilowattHour", -1, "-1"),
    "two sources": ("zone", "spec/intensity/configMap", {"namespace": "a", "name": "b"}, "exactly one of"),
    "an unknown kind": ("zone", "kind", "GridZones", "GridZone"),
    "another version": ("zone", "apiVersion", "ecoserve.dev/v2", "ecoserve.dev/v1alpha1"),
    "an unknown instance type": ("profile", "spec/base", "p6.huge", "HardwareProfile mine"),
    "no labels to match": ("profile", "spec/matchLabels", {}, "spec.matchLabels"),
    "a lifetime in months": ("profile", "spec/hostLifetimeYears", 600, "hostLifetimeYears: 600"),
    "memory in bytes": ("profile", "spec/memoryGib", 824_633_720_832, "spec.memoryGib"),
    "a shape in bytes": ("profile", "spec/nodeShapes", [{"memoryGib": 1e12, "ssdGb": 0}], "nodeShapes.0.memoryGib"),
    "an unknown supply": ("profile", "spec/supply", "some", "'scalable' or 'fixed'"),
    "memory of no size": ("node", "status/allocatable/memory", "a lot", "node n0 status.allocatable.memory"),
    "memory below zero": ("node", "status/allocatable/memory", "-1Gi", "node n0 status.allocatable.memory"),
    "memory beyond machines": ("node", "status/allocatable/memory", "9Ei", "allocatable.memory: '9Ei' is not"),
    "cores beyond machines": ("node", "status/allocatable/cpu", 10**30, "node n0 status.allocatable.cpu: 1000"),
    "devices beyond machines": ("node", "status/allocatable", {"nvidia.com/gpu": "7M"}, "nvidia.com/gpu: '7M'"),
    "a node without name": ("node", "metadata", {}, "node metadata.name"),
    "labels that are a list": ("node", "metadata/labels", [1], "node n0 metadata.labels"),
    "a status that is text": ("node", "status", "good", "node n0 status"),
    "allocatable that is a list": ("node", "status/allocatable", ["cpu"], "node n0 status.allocatable"),
    "conditions that are text": ("node", "status/conditions", "Ready", "node n0 status.conditions"),
    "metadata that is text": ("node", "metadata", "n0", "node metadata"),
    "no nodes": ("fleet", "nodes", [], "nodes"),
    "an unknown SKU": ("fleet", "nodes/0/sku", "g7.48xlarge", "g6.48xlarge"),
    "a count of zero": ("fleet", "nodes/0/count", 0, "nodes.0.count: 0"),
    "a million nodes": ("fleet", "nodes/0/count", 1_000_000, "nodes.0.count: 1000000"),
    "a day as a number": ("fleet", "nodes/0/installed", 20240101, "2023-06-01"),
}  # fmt: skip


@pytest.mark.parametrize("case", MANIFEST_MISTAKES)
def test_a_mistake_in_a_manifest(
    case: str, world: Any, changed: Callable[..., Any], write_world: WriteWorld, refused: Refused
) -> None:
    name, path, value, words = MANIFEST_MISTAKES[case]
    assert words in refused(["plan", *write_world(**{name: changed(world[name], path, value)})])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--intensity", "450000"], "gCO2e/kWh from 0 to 10,000"),
        (["--intensity", "w="], "--intensity"),
        (["--intensity", "=3"], "--intensity"),
        (["--gap", "nan"], "--gap"),
        (["--time-limit", "0"], "--time-limit"),
        (["--time-limit", "nan"], "--time-limit"),
        (["--carbon-price", "nan"], "--carbon-price"),
        (["--carbon-price", "-1"], "--carbon-price"),
        (["--at", "0000-00-00"], "ISO 8601"),
        (["--objective", ""], "carbon"),
        (["--disable", "all"], "rightsize"),
    ],
)
def test_a_mistake_on_the_command_line(
    options: list[str], words: str, write_world: WriteWorld, refused: Refused
) -> None:
    assert words in refused(["plan", *write_world(), *options])


@pytest.mark.parametrize("command", [[], ["profile"]])
def test_without_a_command_the_help_is_shown_line_by_line(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: ")
    assert len(err.splitlines()) > 5
