import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ecoserve.errors import InvalidInputError
from ecoserve.planner.instance import load_instance, parse_instance

GOOD: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "PlanningInstance",
    "metadata": {"name": "one"},
    "spec": {
        "objective": "carbon",
        "zones": [{"name": "z", "carbonIntensity": 261.0, "pue": 1.12}],
        "pools": [
            {"name": "p", "zone": "z", "nodes": 2, "node": {"resources": {"gpu": 8, "memoryGiB": 900}}}
        ],
        "configurations": [{"name": "c", "pool": "p", "resources": {"gpu": 1}}],
        "slices": [{"name": "s", "rate": 2.0}],
        "options": [{"slice": "s", "configuration": "c", "maxRate": 1.5}],
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    target: Any = document
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        target = target[part]
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return document


def test_defaults_are_those_of_the_format() -> None:
    spec = parse_instance(GOOD).spec
    assert (spec.headroom, spec.divisible, spec.relative_gap, spec.time_limit_seconds) == (
        0.0,
        True,
        0.0,
        60.0,
    )
    assert spec.pools[0].node.resources.amounts() == (8.0, 0.0, 900.0)
    assert spec.configurations[0].max_replicas is None
    assert spec.slices[0].traffic_class == "online"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec/zones/0/carbonIntensity", float("nan"), "finite"),
        ("spec/zones/0/carbonIntensity", -1.0, "greater than or equal to 0"),
        ("spec/zones/0/carbonIntensity", KeyError, "required"),
        ("spec/zones/0/carbonIntensity", "261", "valid number"),
        ("spec/zones/0/pue", 0.5, "greater than or equal to 1"),
        ("spec/zones", [], "at least 1 item"),
        ("spec/slices", [], "at least 1 item"),
        ("spec/slices/0/rate", float("inf"), "finite"),
        ("spec/slices/0/class", "sometimes", "'online' or 'offline'"),
        ("spec/pools/0/zone", "nowhere", "known names are z"),
        ("spec/pools/0/nodes", -3, "greater than or equal to 0"),
        ("spec/pools/0/nodes", 1.5, "valid integer"),
        ("spec/pools/0/node/resources/memoryGB", 1, "no field of this name"),
        ("spec/configurations/0/pool", "q", "known names are p"),
        ("spec/options/0/slice", "t", "known names are s"),
        ("spec/options/0/configuration", "d", "known names are c"),
        ("spec/options/0/maxRate", -0.1, "greater than or equal to 0"),
        ("spec/options", [GOOD["spec"]["options"][0]] * 2, "paired once only"),
        ("spec/slices", [{"name": "s", "rate": 1}] * 2, "once only"),
        ("spec/slices", [{"name": "s", "rate": 1}, {"name": "alone", "rate": 1}], "alone"),
        ("spec/headroom", 1.0, "less than 1"),
        ("spec/objective", "profit", "carbon"),
        ("spec/colour", "green", "no field of this name"),
        ("spec/held", {"other": 1}, "known names are c"),
        (
            "spec/limits",
            [{"name": "l", "configurations": ["c"], "minReplicas": 3, "maxReplicas": 2}],
            "above",
        ),
        ("kind", "PlanningResult", "PlanningInstance"),
        ("spec", KeyError, "required"),
    ],
)
def test_a_bad_field_is_named_in_one_sentence(path: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_instance(changed(path, value))
    sentence = str(caught.value)
    assert words in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400


def test_phases_must_come_together() -> None:
    document = changed("spec/options/0/phase", "prefill")
    with pytest.raises(InvalidInputError, match="one of phase prefill and one of decode"):
        parse_instance(document)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "a: [b", "\x00", ""])
def test_a_file_that_is_no_instance_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "instance.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError):
        load_instance(path)


def test_json_and_yaml_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    (tmp_path / "a.yaml").write_text(json.dumps(GOOD, indent=1).replace('"kind"', "kind"))
    assert load_instance(tmp_path / "a.json") == load_instance(tmp_path / "a.yaml") == parse_instance(GOOD)


def test_an_instance_survives_being_written() -> None:
    instance = parse_instance(GOOD)
    assert parse_instance(json.loads(json.dumps(instance.model_dump(by_alias=True, mode="json")))) == instance
