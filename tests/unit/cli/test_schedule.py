"""`ecoserve schedule` as a user meets it."""

import json
from pathlib import Path

import pytest

from ecoserve.cli.app import run

SERVING = """
apiVersion: ecoserve.dev/v1alpha1
kind: LLMServing
metadata: {{name: batch, namespace: demo}}
spec:
  model: {{name: meta-llama/Llama-3.1-8B-Instruct}}
  offline:
    deadline: 24h
    defer: {defer}
    load: {{requestsPerSecond: {rate}, inputTokens: 500, outputTokens: 100}}
  policy: {{mode: Recommend}}
"""
FLEET = "nodes: [{sku: g6.48xlarge, count: 1, zone: west}]\n"
AT = ["--at", "2026-06-02T00:00Z", "--hours", "4"]


def series(*grams: float, day: int = 2) -> str:
    rows = [f"2026-06-{day:02}T{hour:02}:00:00Z,{value}" for hour, value in enumerate(grams)]
    return "\n".join(["timestamp,carbon_intensity", *rows])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "serving.yaml").write_text(SERVING.format(defer="true", rate=0.5))
    (tmp_path / "manifests" / "fleet.yaml").write_text(FLEET)
    (tmp_path / "west.csv").write_text(series(500, 500, 20, 500))
    (tmp_path / "came.csv").write_text(series(500, 20, 500, 500))
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return ["schedule", "-f", str(folder / "manifests"), *AT, *more]


def test_work_is_scheduled_for_the_cleaner_hour(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(folder, "--intensity", f"west={folder / 'west.csv'}", "--output", "json")
    assert run(given) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "Schedule"
    assert found["deferred"] is True
    assert found["gramsWithoutOffline"] < found["grams"] < found["gramsAtOnce"]
    assert found["lateRequests"] == 0
    first, _, third, _ = found["intervals"]
    assert first["intensities"] == {"west": 500}
    assert first["work"][0]["reason"] == "WaitsForCleanerHour"
    assert first["work"][0]["waitsUntil"] == "2026-06-02T02:00:00+00:00"
    assert third["work"][0]["requests"] == pytest.approx(5400, rel=1e-3)


def test_tables_fit_and_a_picture_is_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in ([], ["--actual", str(folder / "came.csv")]):
        picture = folder / "schedule.svg"
        picture.unlink(missing_ok=True)
        given = ["--intensity", str(folder / "west.csv"), *extra, "--plot", str(picture)]
        assert run(arguments(folder, *given)) == 0
        assert "requests/s" in picture.read_text()
        out = capsys.readouterr().out
        assert "waiting saves" in out
        assert max(len(line) for line in out.splitlines()) <= 100


def test_a_wrong_forecast_shows_its_regret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    actual = ["--actual", f"west={folder / 'came.csv'}", "--output", "json"]
    assert run(arguments(folder, "--intensity", str(folder / "west.csv"), *actual)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "Deferral"
    assert found["regretGrams"] >= 0
    assert found["gramsForesight"] <= found["gramsAtOnce"]
    assert found["lateRequests"] == 0
    was = found["forecast"]["west"]
    assert was["meanAbsolutePercentageError"] > 1
    assert was["biasGramsPerKilowattHour"] == 0
    assert found["intervals"][2]["expectedIntensities"] == {"west": 20}


def test_without_a_forecast_the_day_before_is_expected(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = series(*[40.0] * 24, day=1) + "\n" + series(50, 50, 50, 50).partition("\n")[2]
    (folder / "days.csv").write_text(days)
    assert run(arguments(folder, "--actual", str(folder / "days.csv"), "--output", "json")) == 0
    hours = json.loads(capsys.readouterr().out)["intervals"]
    assert [hour["expectedIntensities"]["west"] for hour in hours] == [50, 40, 40, 40]


def test_load_is_read_by_stream(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = folder / "load.csv"
    load.write_text("timestamp,batch/offline\n2026-06-02T00:00Z,1\n2026-06-02T01:00Z,2\n")
    given = arguments(folder, "--intensity", "300", "--load", str(load), "--output", "json")
    assert run(given) == 0
    hours = json.loads(capsys.readouterr().out)["intervals"]
    assert [hour["work"][0]["arrivedRequests"] for hour in hours] == [3600, 7200, 7200, 7200]


def test_a_deadline_that_cannot_be_kept_is_told_by_the_status(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "manifests" / "serving.yaml").write_text(SERVING.format(defer="true", rate=5000))
    assert run(arguments(folder, "--intensity", "300")) == 3
    out = capsys.readouterr().out
    assert "CapacityShort" in out
    assert "NOT DONE" in out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--hours", "0"], "--hours"),
        (["--hours", "1000"], "--hours"),
        (["--at", "soon"], "--at"),
        (["--intensity", "missing.csv"], "missing.csv"),
        (["--intensity", "north={west}"], "zone of a series"),
        (["--intensity", "{west}", "--at", "2027-01-01"], "week before"),
        (["--intensity", "-5"], "--intensity"),
        (["--actual", "300"], "--actual"),
        (["--actual", "{west}", "--hours", "5"], "covers"),
        (["--actual", "north={west}"], "zone of a series"),
        (["--load", "{west}", "--intensity", "300"], "--load column"),
        (["--load", "missing.csv"], "missing.csv"),
        (["--plot", "schedule.txt"], "--plot"),
        (["--disable", "rinse"], "disable"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    filled = [item.format(west=folder / "west.csv") for item in more]
    assert run(arguments(folder, *filled)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_nothing_to_schedule_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "manifests" / "serving.yaml").write_text(SERVING.format(defer="false", rate=1))
    assert run(arguments(folder, "--intensity", "300")) == 2
    assert "defer true" in capsys.readouterr().err
