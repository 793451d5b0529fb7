"""`ecoserve plan` and `ecoserve solve` as a user meets them: output, exit status, one-line errors."""

import json
from pathlib import Path

import pytest

from ecoserve.cli.app import run

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = ["-f", str(EXAMPLES / "demo"), "-f", str(EXAMPLES / "fleets" / "demo.yaml")]
INSTANCE = {
    "kind": "PlanningInstance",
    "spec": {
        "objective": "cost",
        "zones": [{"name": "z", "carbonIntensity": 1}],
        "pools": [
            {"name": "p", "zone": "z", "nodes": 1, "node": {"resources": {"gpu": 2}, "costPerHour": 4}}
        ],
        "configurations": [{"name": "c", "pool": "p", "resources": {"gpu": 1}}],
        "slices": [{"name": "s", "rate": 1.5}],
        "options": [{"slice": "s", "configuration": "c", "maxRate": 1}],
    },
}


def test_a_plan_is_printed_as_tables_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *FILES, "--at", "2026-06-01T19:00:00Z"]) == 0
    out = capsys.readouterr().out
    assert "demo/chat-8b" in out
    assert "gCO2e/h" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_plan_in_json_is_a_placement_plan_and_its_instance_solves_to_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "instance.json"
    options = ["--at", "2026-06-01T19:00:00Z", "--gap", "0", "--instance-out", str(path), "--output", "json"]
    assert run(["plan", *FILES, *options]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["kind"] == "PlacementPlan"
    assert "epyc-7763.memory_bandwidth_gb_per_s" in plan["uncheckedFigures"]
    assert run(["solve", str(path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["objective"] == pytest.approx(plan["spec"]["gramsPerHour"], rel=1e-6)
    assert result["kind"] == "PlanningResult"


def test_measured_load_is_planned_for_as_the_status_tells_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    serving = {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "LLMServing",
        "metadata": {"name": "chat", "namespace": "default"},
        "spec": {
            "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
            "online": {"slo": {"ttft": "2s", "tpot": "100ms"}, "load": {"prometheus": {}}},
            "policy": {"mode": "Recommend"},
        },
    }
    fleet, path = tmp_path / "fleet.yaml", tmp_path / "serving.json"
    fleet.write_text("nodes: [{sku: g6.48xlarge, count: 2, zone: z}]")
    path.write_text(json.dumps(serving))
    arguments = ["plan", "-f", str(path), "-f", str(fleet), "--intensity", "300", "--output", "json"]
    assert run(arguments) == 2
    assert "requestsPerSecond or trace beside it" in capsys.readouterr().err
    lengths = [{"inputTokens": 500, "outputTokens": 100, "share": 1.0}]
    told = {"requestsPerSecond": 3.5, "observedAt": "2026-06-01T12:00:00Z", "lengths": lengths}
    path.write_text(json.dumps({**serving, "status": {"load": {"online": told}}}))
    instance = tmp_path / "instance.json"
    assert run([*arguments, "--instance-out", str(instance)]) == 0
    (planned,) = json.loads(instance.read_text())["spec"]["slices"]
    assert planned["rate"] == pytest.approx(3.5)


def test_designs_are_compared_and_those_that_cannot_be_say_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("nodes: [{sku: p5.48xlarge, count: 2, zone: z}, {sku: g6.48xlarge, count: 2, zone: z}]")
    arguments = ["plan", "-f", str(EXAMPLES / "llmserving-8b.yaml"), "-f", str(fleet), "--intensity", "300"]
    assert run([*arguments, "--compare"]) == 0
    out = capsys.readouterr().out
    assert "cost, p5.48xlarge only" in out
    assert "not possible: prefill/decode split" in out
    assert max(len(line) for line in out.splitlines()) <= 100
    assert run([*arguments, "--compare", "--objective", "carbon", "--output", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert all(plan["spec"]["gramsPerHour"] <= p["gramsPerHour"] + 2e-3 for p in plan["spec"]["designPoints"])
    split, *single = plan["alternatives"]
    assert not split["feasible"]
    assert split["reason"]
    assert all(plan["spec"]["gramsPerHour"] <= p["gramsPerHour"] + 2e-3 for p in single if p["feasible"])


def test_intensity_and_levers_are_taken_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    grams = []
    for more in ([], ["--disable", "recycle,reuse"], ["--intensity", "900"], ["--intensity", "us-west=1"]):
        assert run(["plan", *FILES, "--at", "2026-06-01T19:00:00Z", "--output", "json", *more]) == 0
        grams.append(json.loads(capsys.readouterr().out)["spec"]["gramsPerHour"])
    own, _, dirty, clean = grams
    assert clean < own < dirty


def test_demand_that_cannot_be_met_exits_with_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    short = json.loads(json.dumps(INSTANCE))
    short["spec"]["slices"][0]["rate"] = 9
    (tmp_path / "short.json").write_text(json.dumps(short))
    assert run(["solve", str(tmp_path / "short.json")]) == 3
    assert json.loads(capsys.readouterr().out)["unserved"]["s"] == pytest.approx(7.0)
    assert run(["solve", str(tmp_path / "short.json"), "--output", "table"]) == 3
    assert "NOT SERVED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan"], "-f"),
        (["plan", "-f", "/nowhere"], "/nowhere"),
        (["plan", "-f", str(EXAMPLES / "demo")], "fleet file"),
        (["plan", "-f", str(EXAMPLES / "fleets")], "LLMServing"),
        (["plan", *FILES, "--objective", "profit"], "carbon"),
        (["plan", *FILES, "--intensity", "nan"], "--intensity"),
        (["plan", *FILES, "--intensity", "-3"], "--intensity"),
        (["plan", *FILES, "--intensity", "us-wets=3"], "us-west"),
        (["plan", *FILES, "--disable", "reduse"], "reduce"),
        (["plan", *FILES, "--at", "tomorrow"], "ISO 8601"),
        (["plan", *FILES, "--gap", "2"], "--gap"),
        (["plan", *FILES, "--instance-out", "/nowhere/x.json"], "/nowhere/x.json"),
        (["solve", "/nowhere.json"], "/nowhere.json"),
        (["sing"], "sing"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"base": "p5.48xlarge", "accelerator": "h900", "acceleratorCount": 8},
            "HardwareProfile x: accelerator",
        ),
        ({"base": "p6.huge"}, "HardwareProfile x: instance"),
    ],
)
def test_a_profile_that_no_node_matches_is_checked_all_the_same(
    document: dict[str, object], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "HardwareProfile",
        "metadata": {"name": "x"},
        "spec": {"matchLabels": {"no": "node"}, **document},
    }
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    assert run(["plan", *FILES, "-f", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_model_is_told_with_the_serving_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLES / "demo" / "servings.yaml").read_text().replace("Llama-3.1-8B-Instruct", "Llama-9")
    (tmp_path / "servings.yaml").write_text(text)
    grid = str(EXAMPLES / "demo" / "grid.yaml")
    assert run(["plan", "-f", str(tmp_path), "-f", grid, *FILES[2:]]) == 2
    assert "LLMServing chat-8b: model: 'meta-llama/Llama-9'" in capsys.readouterr().err


def test_effects_of_levers_are_shown_and_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("nodes: [{sku: p5.48xlarge, count: 2, zone: z}, {sku: m7i.48xlarge, count: 1, zone: z}]")
    files = ["-f", str(EXAMPLES / "llmserving-8b.yaml"), "-f", str(EXAMPLES / "hardwareprofiles.yaml")]
    arguments = ["plan", *files, "-f", str(fleet), "--intensity", "17", "--effects"]
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "all but reduce" in out
    assert max(len(line) for line in out.splitlines()) <= 100
    assert run([*arguments, "--output", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["effects"]
    grams = {tuple(row["levers"]): row["gramsPerHour"] for row in rows}
    assert len(grams) == 10
    assert grams["recycle", "reduce", "reuse", "rightsize"] < grams["reduce",] < grams[()]
    assert run([*arguments, "--disable", "reuse,recycle,rightsize", "--output", "json"]) == 0
    assert [row["levers"] for row in json.loads(capsys.readouterr().out)["effects"]] == [[], ["reduce"]]
