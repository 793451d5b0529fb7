"""`ecoserve plan --sweep` and `--coefficients` as a user meets them."""

import json
from pathlib import Path

import pytest

from ecoserve.cli.app import run

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def plan(tmp_path: Path) -> list[str]:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(
        "nodes: [{sku: p5.48xlarge, count: 1, zone: z}, {sku: a3-highgpu-8g, count: 1, zone: z}]"
    )
    return ["plan", "-f", str(EXAMPLES / "llmserving-8b.yaml"), "-f", str(fleet), "--intensity", "261"]


def test_a_sweep_tells_whether_the_decision_changes(
    plan: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*plan, "--sweep", "coefficients", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["decisionChanges"] is True
    cases = {case["name"]: case for case in found["cases"]}
    assert cases["ecoserve"]["samePlacements"] is True
    assert cases["ecoserve"]["gramsPerHour"] == pytest.approx(found["gramsPerHour"], rel=0.005)
    for case in cases.values():
        kept = case["gramsPerHour"] + case["regretGramsPerHour"]
        assert kept == pytest.approx(case["keptGramsPerHour"])
        assert case["samePlacements"] == (case["replicas"] == found["replicas"])
    assert cases["ecoserve-2025"]["regretShare"] > 0.005
    assert "ecoserve-2025" in found["verdict"]
    kept = found["keptRange"]
    assert (kept["leastCase"], kept["mostCase"]) == ("act", "boavizta")
    assert kept["leastGramsPerHour"] <= found["gramsPerHour"] <= kept["mostGramsPerHour"]


@pytest.mark.parametrize("over", ["coefficients", "lifetime"])
def test_a_sweep_is_a_table_that_fits(over: str, plan: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*plan, "--sweep", over]) == 0
    out = capsys.readouterr().out
    assert "regret" in out
    assert "The decision" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_plan_by_another_set_weighs_otherwise(plan: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    embodied = {}
    for name in ("act", "boavizta"):
        assert run([*plan, "--coefficients", name, "--output", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["coefficients"] == name
        embodied[name] = found["spec"]["embodiedGramsPerHour"]
    assert embodied["boavizta"] > 5 * embodied["act"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sweep", "coefficient"], "coefficients"),
        (["--sweep", "coefficients", "--compare"], "--compare"),
        (["--sweep", "coefficients", "--objective", "cost"], "least carbon"),
        (["--sweep", "coefficients", "--carbon-price", "50"], "least carbon"),
        (["--sweep", "lifetime", "--disable", "recycle"], "recycle"),
        (["--coefficients", "eco"], "ecoserve"),
    ],
)
def test_bad_input_is_one_sentence(
    options: list[str], words: str, plan: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*plan, *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err
