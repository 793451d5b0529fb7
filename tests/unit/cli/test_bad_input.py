"""Whatever is wrong with what a person gives: one sentence on standard error, exit status 2, nothing else."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoserve.cli.app import run

Capture = pytest.CaptureFixture[str]

INSTANCE: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "PlanningInstance",
    "metadata": {"name": "one"},
    "spec": {
        "objective": "carbon",
        "zones": [{"name": "z", "carbonIntensity": 261.0, "pue": 1.12}],
        "pools": [
            {
                "name": "p",
                "zone": "z",
                "nodes": 2,
                "node": {
                    "resources": {"gpu": 2, "cpu": 8, "memoryGiB": 900},
                    "powerWatts": 300.0,
                    "embodiedGramsPerHour": 20.0,
                    "costPerHour": 4.0,
                },
            }
        ],
        "configurations": [
            {"name": "c", "pool": "p", "resources": {"gpu": 1}, "powerWatts": 30.0, "coldStartGrams": 1.0},
            {"name": "d", "pool": "p", "resources": {"cpu": 4}, "maxReplicas": 3},
        ],
        "slices": [{"name": "s", "rate": 2.0}, {"name": "t", "rate": 0.1, "class": "offline"}],
        "options": [
            {"slice": "s", "configuration": "c", "maxRate": 1.5, "energyPerRequestJoules": 120.0},
            {"slice": "t", "configuration": "d", "maxRate": 0.4, "latencySeconds": 2.0, "phase": "both"},
        ],
        "limits": [{"name": "l", "configurations": ["c"], "minReplicas": 1, "maxReplicas": 4}],
        "held": {"c": 1},
        "headroom": 0.1,
        "divisible": True,
        "relativeGap": 0.0,
        "timeLimitSeconds": 5,
    },
}
SERVING: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "LLMServing",
    "metadata": {"name": "chat", "namespace": "demo"},
    "spec": {
        "model": {"name": "meta-llama/Llama-3.1-8B-Instruct", "precision": "bf16"},
        "online": {
            "slo": {"ttft": "1s", "tpot": "60ms", "percentile": 90},
            "load": {"requestsPerSecond": 2.0, "inputTokens": 1000, "outputTokens": 130},
        },
        "offline": {"deadline": "24h", "load": {"requestsPerSecond": 0.1, "lengths": "azure-code-2023"}},
        "placement": {"minReplicas": 1, "maxReplicas": 8, "roles": ["both"], "cpu": True},
        "policy": {"mode": "Recommend", "objective": "carbon"},
    },
}
ZONE: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "GridZone",
    "metadata": {"name": "west"},
    "spec": {"zones": ["w"], "pue": 1.2, "intensity": {"gramsPerKilowattHour": 261.0}},
}
PROFILE: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "HardwareProfile",
    "metadata": {"name": "mine"},
    "spec": {
        "matchLabels": {"rack": "r1"},
        "base": "g6.48xlarge",
        "memoryGib": 768.0,
        "pricePerHour": 3.0,
        "hostLifetimeYears": 6,
        "supply": "fixed",
    },
}
NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "n0",
        "labels": {
            "topology.kubernetes.io/zone": "w",
            "node.kubernetes.io/instance-type": "g6.48xlarge",
            "rack": "r1",
        },
    },
    "status": {"allocatable": {"cpu": "192", "memory": "700Gi", "nvidia.com/gpu": "8"}},
}
FLEET: dict[str, Any] = {
    "nodes": [
        {"sku": "g6.48xlarge", "count": 1, "zone": "w", "installed": "2024-01-01", "labels": {"rack": "r1"}}
    ]
}
WORLD = {
    "serving": SERVING,
    "zone": ZONE,
    "profile": PROFILE,
    "node": NODE,
    "fleet": FLEET,
}
KeyPath = tuple[str | int, ...]


def changed(document: Any, path: str, value: Any) -> Any:
    """Return a copy with the value at a path replaced; a callable is given what stands there."""
    made = copy.deepcopy(document)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    target = made
    for part in parents:
        target = target[part]
    target[last] = value(target[last]) if callable(value) else value
    return made


def write_world(folder: Path, **changes: Any) -> list[str]:
    """Write a world of manifests, some of them changed, and return the options that read it."""
    for name, document in (WORLD | changes).items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return ["-f", str(folder)]


def refused(arguments: list[str], capsys: Capture) -> str:
    """Run a command that has to refuse its input, and return its sentence."""
    capsys.readouterr()
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    assert len(captured.err) < 1500
    return captured.err


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
def test_a_mistake_in_an_instance(case: str, tmp_path: Path, capsys: Capture) -> None:
    path, value, words = INSTANCE_MISTAKES[case]
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(changed(INSTANCE, f"spec/{path}", value)))
    assert words in refused(["solve", str(file)], capsys)


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
def test_a_mistake_in_a_manifest(case: str, tmp_path: Path, capsys: Capture) -> None:
    name, path, value, words = MANIFEST_MISTAKES[case]
    document = copy.deepcopy(WORLD[name])
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    target: Any = document
    for part in parents:
        target = target[part]
    target[last] = value
    assert words in refused(["plan", *write_world(tmp_path, **{name: document})], capsys)


FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "No such file"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "nested without end": (b"[" * 200_000, "deep"),
    "objects nested without end": (b'{"a":' * 200_000, "deep"),
    "a key twice in JSON": (b'{"kind": "PlanningInstance", "kind": "x"}', "'kind' stands twice"),
    "a key twice in YAML": (b"kind: PlanningInstance\nspec: {}\nkind: x\n", "'kind' stands twice"),
    "broken JSON": (b'{"kind": "PlanningInstance",', "valid JSON or YAML"),
    "broken YAML": (b"kind: [a\nspec: }", "line 2"),
    "a date that is none": (b"kind: 2020-13-45", "valid JSON or YAML"),
    "a number without end": (b'{"kind": ' + b"9" * 5000 + b"}", "valid JSON or YAML"),
    "a tag that runs code": (b"!!python/object/apply:os.system [ls]", "valid JSON or YAML"),
}


@pytest.mark.parametrize("command", ["solve", "plan -f", "pareto -f", "refresh -f"])
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_read(case: str, command: str, tmp_path: Path, capsys: Capture) -> None:
    content, words = FILES[case]
    file = tmp_path / "input.yaml"
    if content is not None:
        file.write_bytes(content)
    sentence = refused([*command.split(), str(file)], capsys)
    assert str(file) in sentence
    assert words in sentence or content is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "nothing in it"),
        ("---\n---\n", "nothing in it"),
        (f"{json.dumps(INSTANCE)}\n---\n{json.dumps(INSTANCE)}", "2 documents"),
        ("[]", "a mapping"),
        ("just words", "a mapping"),
        ("{}", "spec"),
        ('{"spec": []}', "spec"),
        ('{"kind": "LLMServing", "spec": {}}', "kind"),
    ],
)
def test_a_file_that_holds_no_instance(content: str, words: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "input.yaml"
    file.write_text(content)
    assert words in refused(["solve", str(file)], capsys)


def test_a_folder_is_no_instance(tmp_path: Path, capsys: Capture) -> None:
    assert "directory" in refused(["solve", str(tmp_path)], capsys)


def test_an_empty_folder_holds_no_serving(tmp_path: Path, capsys: Capture) -> None:
    for command in ("plan", "pareto"):
        assert "LLMServing" in refused([command, "-f", str(tmp_path)], capsys)
    assert "fleet file" in refused(["refresh", "-f", str(tmp_path)], capsys)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(INSTANCE), encoding="utf-8-sig")
    assert run(["solve", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "optimal"


def test_a_million_slices_are_refused_before_any_is_looked_at(tmp_path: Path, capsys: Capture) -> None:
    rows = ",".join(['{"name":"s","rate":"x"}'] * 1_000_000)
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(changed(INSTANCE, "spec/slices", "ROWS")).replace('"ROWS"', f"[{rows}]"))
    assert "at most 100000" in refused(["solve", str(file)], capsys)
    large = tmp_path / "large.yaml"
    large.write_text("slices:\n" + "- {name: s, rate: 1}\n" * 1_000_000)
    assert "valid JSON instead" in refused(["solve", str(large)], capsys)


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
    options: list[str], words: str, tmp_path: Path, capsys: Capture
) -> None:
    assert words in refused(["plan", *write_world(tmp_path), *options], capsys)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(["", "x", "z", "1", "500ms", "é\n", "\ud800", "nan", "p" * 600]),
    st.sampled_from([0, -1, 1, 0.5, 3.0, 1e-300, 1e308, math.nan, math.inf, -math.inf, 10**30, 450_000]),
    st.sampled_from([[], {}, [[]], [None], {"name": "x"}, {"": {}}, [1, 2], {"a": [{"b": []}]}]),
)


def places(document: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(draw: st.DrawFn, document: Any) -> Any:
    """Return a copy with something deleted, replaced or inserted anywhere."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(places(made))))
        target: Any = made
        for key in path[:-1]:
            target = target[key]
        match draw(st.sampled_from(["delete", "replace", "insert"])):
            case "delete":
                del target[path[-1]]
            case "replace":
                target[path[-1]] = draw(JUNK)
            case "insert" if isinstance(target, list):
                target.insert(draw(st.integers(0, len(target))), draw(st.one_of(JUNK, st.just(target[0]))))
            case _:
                target[draw(st.sampled_from(["name", "extra", "nodes", "", "a\nb", "rate"]))] = draw(JUNK)
        if not list(places(made)):
            break
    return made


@st.composite
def mutations(draw: st.DrawFn, document: Any) -> Any:
    return mutated(draw, document)


def answers_or_refuses(arguments: list[str], capsys: Capture) -> None:
    capsys.readouterr()
    status = run(arguments)
    captured = capsys.readouterr()
    if status == 2:
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert captured.err.index(": ", 7) > 7, "it begins with the field"
    else:
        assert status in (0, 3)
        assert captured.err == ""
        json.loads(captured.out, parse_constant=lambda name: pytest.fail(f"{name} in the answer"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=mutations(INSTANCE))
def test_an_instance_changed_anywhere_is_answered_or_refused(
    document: Any, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(document))
    answers_or_refuses(["solve", str(file)], capsys)


@pytest.mark.parametrize("name", WORLD)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_manifest_changed_anywhere_is_answered_or_refused(
    name: str, data: st.DataObject, tmp_path: Path, capsys: Capture
) -> None:
    options = write_world(tmp_path, **{name: data.draw(mutations(WORLD[name]))})
    arguments = ["plan", *options, "--gap", "0.1", "--time-limit", "1", "--output", "json"]
    answers_or_refuses(arguments, capsys)


@given(text=st.text(max_size=200))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_refused_in_one_sentence(text: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "instance.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    answers_or_refuses(["solve", str(file)], capsys)


def test_yaml_and_json_are_read_alike(tmp_path: Path, capsys: Capture) -> None:
    results = []
    for name, text in (("a.json", json.dumps(INSTANCE)), ("a.yaml", yaml.safe_dump(INSTANCE))):
        (tmp_path / name).write_text(text)
        assert run(["solve", str(tmp_path / name)]) == 0
        results.append({**json.loads(capsys.readouterr().out), "solveSeconds": 0})
    assert results[0] == results[1]


@pytest.mark.parametrize("command", [[], ["profile"]])
def test_without_a_command_the_help_is_shown_line_by_line(command: list[str], capsys: Capture) -> None:
    assert run(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: ")
    assert len(err.splitlines()) > 5
