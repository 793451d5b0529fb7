"""Mistakes in a planning instance: one sentence that names the field, exit status 2, nothing else."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Refused = Callable[[list[str]], str]

INSTANCE_MISTAKES = {
    "NaN": ("zones/0/carbonIntensity", math.nan, "spec.zones[0].carbonIntensity: nan"),
    "infinite": ("slices/0/rate", math.inf, "spec.slices[0].rate: inf"),
    "negative": ("options/0/maxRate", -1.5, "spec.options[0].maxRate: -1.5"),
    "text for a number": ("zones/0/carbonIntensity", "261", "a valid number, in gCO2e/kWh"),
    "truth for a number": ("slices/0/rate", True, "spec.slices[0].rate: True"),
    "truth for a count": ("pools/0/nodes", True, "spec.pools[0].nodes: True"),
    "number for truth": ("divisible", 1, "spec.divisible: 1"),
    "half a node": ("pools/0/nodes", 1.5, "spec.pools[0].nodes: 1.5"),
    "intensity in mg": ("zones/0/carbonIntensity", 450_000, "gCO2e/kWh; grids have 10 to 1,500"),
    "PUE in percent": ("zones/0/pue", 120, "not percent"),
    "headroom in percent": ("headroom", 20, "not percent"),
    "gap in percent": ("relativeGap", 5, "not percent"),
    "memory in bytes": ("pools/0/node/resources/memoryGiB", 966_367_641_600, "in GiB"),
    "time in milliseconds": ("timeLimitSeconds", 600_000, "in seconds"),
    "huge": ("configurations/0/powerWatts", 1e308, "in watts"),
    "a slice twice": ("slices", lambda old: [*old, old[0]], "spec.slices[2].name: 's'"),
    "an option twice": ("options", lambda old: [*old, old[0]], "once only"),
    "a zone twice": ("zones", lambda old: [*old, old[0]], "spec.zones[1].name: 'z'"),
    "a pool twice": ("pools", lambda old: [*old, old[0]], "spec.pools[1].name: 'p'"),
    "a configuration twice": ("configurations", lambda old: [*old, old[0]], "configurations[2].name: 'c'"),
    "a limit twice": ("limits", lambda old: [*old, old[0]], "spec.limits[1].name: 'l'"),
    "an unknown zone": ("pools/0/zone", "zz", "known names are z"),
    "an unknown pool": ("configurations/0/pool", "q", "known names are p"),
    "an unknown slice": ("options/0/slice", "q", "spec.options[0].slice: 'q'"),
    "an unknown configuration": ("options/0/configuration", "q", "known names are c, d"),
    "unknown held": ("held", {"q": 1}, "spec.held: 'q'"),
    "held below zero": ("held", {"c": -1}, "spec.held.c: -1"),
    "an unknown in a limit": ("limits/0/configurations", ["q"], "spec.limits[0].configurations: 'q'"),
    "a limit upside down": ("limits/0/minReplicas", 9, "above maxReplicas"),
    "an unknown field": ("zones/0", lambda old: old | {"carbonintensity": 1}, "no field of this name"),
    "a misspelt field": ("zones/0", {"name": "z", "carbonItensity": 1}, "carbonItensity"),
    "a missing field": ("zones/0", {"name": "z"}, "spec.zones[0].carbonIntensity: None"),
    "no zones": ("zones", [], "spec.zones"),
    "no pools": ("pools", [], "spec.pools"),
    "no configurations": ("configurations", [], "spec.configurations"),
    "no slices": ("slices", [], "spec.slices"),
    "no options": ("options", [], "spec.options"),
    "a limit of nothing": ("limits/0/configurations", [], "spec.limits[0].configurations"),
    "null for a list": ("slices", None, "spec.slices: None"),
    "an object for a list": ("zones", {"z": 1}, "spec.zones"),
    "a list for an object": ("pools/0/node", [], "spec.pools[0].node"),
    "no name": ("slices/0/name", "", "spec.slices[0].name"),
    "a number as name": ("slices/0/name", 7, "spec.slices[0].name: 7"),
    "an unknown objective": ("objective", "profit", "'carbon'"),
    "an unknown phase": ("options/0/phase", "encode", "'prefill'"),
    "an unknown class": ("slices/0/class", "batch", "'offline'"),
    "a slice without options": ("slices", lambda old: [*old, {"name": "u", "rate": 1}], "spec.slices[2]: 'u'"),
    "half of the phases": ("options/0/phase", "prefill", "one of phase prefill and one of decode"),
    "a price beside carbon": ("carbonPricePerTonne", 10, "spec.carbonPricePerTonne: 10"),
    "a name with line breaks": ("pools/0/zone", "a\nb\n" * 9, "spec.pools[0].zone"),
    "a field of great length": ("zones/0", {"x" * 100_000: 1}, "spec.zones[0].xxx"),
    "a number of great length": ("pools/0/nodes", 10**400, "spec.pools[0].nodes"),
}  # fmt: skip


@pytest.mark.parametrize("case", INSTANCE_MISTAKES)
def test_a_mistake_in_an_instance(
    case: str, instance: Any, changed: Callable[..., Any], tmp_path: Path, refused: Refused
) -> None:
    path, value, words = INSTANCE_MISTAKES[case]
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(changed(instance, f"spec/{path}", value)))
    assert words in refused(["solve", str(file)])


def test_a_million_slices_are_refused_before_any_is_looked_at(
    instance: Any, tmp_path: Path, refused: Refused
) -> None:
    rows = ",".join(['{"name":"s","rate":"x"}'] * 1_000_000)
    instance["spec"]["slices"] = "ROWS"
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(instance).replace('"ROWS"', f"[{rows}]"))
    assert "at most 100000" in refused(["solve", str(file)])
    large = tmp_path / "large.yaml"
    large.write_text("slices:\n" + "- {name: s, rate: 1}\n" * 1_000_000)
    assert "valid JSON instead" in refused(["solve", str(large)])
