"""`ecoserve accelerators` as a user meets it: the study's form, tables, JSON, a picture, one-line errors."""

import json
from pathlib import Path

import pytest

from ecoserve.cli.app import run

MODELS = ["TinyLlama/TinyLlama-1.1B-Chat-v1.0", "openlm-research/open_llama_3b", "huggyllama/llama-7b"]


def test_the_form_of_the_study_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["accelerators", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["terms"]["intensities"] == [17, 261, 501]
    points = {(point["model"], point["gpu"], point["batch"]): point for point in found["points"]}
    assert len(points) == 3 * 2 * 7
    for point in points.values():
        if not point["feasible"]:
            assert point["reason"]
            continue
        assert point["embodiedGrams"] > 0
        for grams in ("17", "261", "501"):
            assert point["totalGrams"][grams] == pytest.approx(
                point["embodiedGrams"] + point["operationalGrams"][grams]
            )
        assert point["operationalGrams"]["501"] == pytest.approx(point["operationalGrams"]["17"] * 501 / 17)
    assert not points[MODELS[2], "t4", 64]["feasible"]
    for row in found["greener"]:
        for grams, best in row["byIntensity"].items():
            own = [points[row["model"], gpu, row["batch"]] for gpu in ("t4", "rtx6000ada")]
            least = min((p for p in own if p["feasible"]), key=lambda p: p["totalGrams"][grams])
            assert best["gpu"] == least["gpu"]


def test_tables_fit_and_say_what_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--model",
        ",".join(MODELS),
        "--gpus",
        "t4,rtx6000ada,a100-80-sxm",
        "--intensity",
        "0,17,261,501,900",
    ]
    assert run(["accelerators", *options]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 100
    assert "t4 not at batch" in out
    assert "fit beside the weights" in out


def test_who_is_greener_by_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", MODELS[1], "--batches", "16,32", "--intensity", "2,261", "--range"]
    assert run(["accelerators", *options, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["gaps"]) == ["boavizta"]
    for row, own in zip(found["greenerBySets"], found["greener"], strict=True):
        for grams, winners in row["byIntensity"].items():
            assert sorted(name for names in winners.values() for name in names) == sorted(
                ["ecoserve", "ecoserve-2025", "act", "greensku"]
            )
            assert "ecoserve" in winners[own["byIntensity"][grams]["gpu"]]
    assert run(["accelerators", *options]) == 0
    out = capsys.readouterr().out
    assert "boavizta has no comparison" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "accelerators.svg"
    assert (
        run(
            [
                "accelerators",
                "--model",
                MODELS[0],
                "--intensity",
                "17",
                "--batches",
                "1,8",
                "--plot",
                str(path),
            ]
        )
        == 0
    )
    assert path.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "huggyllama/llama-7"], "huggyllama/llama-7b"),
        (["--model", ","], "--model"),
        (["--gpus", "t5"], "t4"),
        (["--gpus", ""], "--gpus"),
        (["--intensity", "-1"], "--intensity"),
        (["--intensity", "1,2,3,4,5,6"], "at most 5"),
        (["--batches", "1,x"], "--batches"),
        (["--batches", "0"], "--batches"),
        (["--input", "nan"], "--input"),
        (["--output-tokens", "0"], "--output-tokens"),
        (["--precision", "fp9"], "precision"),
        (["--cards", "0"], "--cards"),
        (["--utilization", "0"], "--utilization"),
        (["--lifetime-years", "-4"], "--lifetime-years"),
        (["--pue", "0.5"], "--pue"),
        (["--coefficients", "boavizta"], "boavizta"),
        (["--plot", "picture.txt"], "--plot"),
    ],
)
def test_bad_input_is_one_sentence(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["accelerators", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err
