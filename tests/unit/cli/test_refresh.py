"""`ecoserve refresh` as a user meets it."""

import json
from pathlib import Path

import pytest

from ecoserve.cli.app import run

EXAMPLES = Path(__file__).parents[3] / "examples"
FLEET = str(EXAMPLES / "fleets" / "demo.yaml")
WEST = """
nodes:
  - {sku: p5.48xlarge, count: 2, zone: us-west, installed: 2024-06-01}
  - {sku: g6.48xlarge, count: 1, zone: us-west}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> list[str]:
    path = tmp_path / "fleet.yaml"
    path.write_text(WEST)
    return ["refresh", "-f", str(path), "--intensity", "261", "--at", "2026-06-01"]


def test_the_plan_is_compared_with_refreshing_everything_together(
    fleet: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fleet) == 0
    out = capsys.readouterr().out
    assert "everything every 6 years" in out
    assert "against the best uniform refresh" in out
    assert "p5.48xlarge in us-west" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_json_adds_up(fleet: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*fleet, "--accelerator-years", "5", "--output", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    separate = plan["separate"]
    assert separate["totalKg"] == pytest.approx(separate["operationalKg"] + separate["embodiedKg"])
    assert sum(kind["operationalKg"] for kind in plan["kinds"]) == pytest.approx(separate["operationalKg"])
    assert 0 <= separate["gap"] <= 1e-4
    by_years = {row["everyYears"]: row for row in plan["uniform"]}
    assert [by_years[years]["feasible"] for years in (3, 4, 5, 6)] == [True, True, True, False]
    assert all(row["savedShare"] >= 0 for row in plan["uniform"] if row["feasible"])
    for kind in plan["kinds"]:
        for part in ("hosts", "accelerators"):
            standing = kind["nodes"] * (8 if part == "accelerators" else 1)
            for move in kind[part]:
                standing += move["bought"] - move["retired"]
                assert standing == move["inService"]


def test_a_series_of_intensity_counts_by_its_mean(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["-f", str(EXAMPLES / "demo"), "-f", FLEET, "--horizon", "1", "--output", "json"]
    totals = []
    for at in ("2026-06-01T12:00Z", "2026-06-01T20:00Z"):
        assert run(["refresh", *files, "--at", at]) == 0
        totals.append(json.loads(capsys.readouterr().out)["separate"]["totalKg"])
    assert totals[0] == pytest.approx(totals[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-f", FLEET], "--intensity"),
        (["-f", FLEET, "--intensity", "300", "--horizon", "0"], "horizon"),
        (["-f", FLEET, "--intensity", "300", "--demand-growth", "nan"], "demand growth"),
        (["-f", FLEET, "--intensity", "300", "--coefficients", "ecoserv"], "ecoserve"),
        (["-f", FLEET, "--intensity", "300", "--accelerator-power-growth", "-2"], "power growth"),
        (["-f", FLEET, "--intensity", "300", "--plot", "refresh.txt"], "--plot"),
        (["-f", FLEET, "--intensity", "300", "--at", "2020-01-01"], "installed"),
        (["-f", str(EXAMPLES / "gridzones.yaml")], "fleet file"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["refresh", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err


def test_a_picture_is_drawn(fleet: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "refresh.svg"
    assert run([*fleet, "--plot", str(picture)]) == 0
    assert "<svg" in picture.read_text()
    assert "everything every 3 years" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_a_profile_says_is_heeded(fleet: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    profiles = str(EXAMPLES / "hardwareprofiles.yaml")
    assert run([*fleet, "-f", profiles, "--output", "json"]) == 0
    kinds = {kind["sku"]: kind for kind in json.loads(capsys.readouterr().out)["kinds"]}
    assert set(kinds) == {"lean-h100", "lean-l4"}
    assert {(kind["hostYears"], kind["acceleratorYears"]) for kind in kinds.values()} == {(10, 3)}
