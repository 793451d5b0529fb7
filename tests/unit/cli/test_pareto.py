"""`ecoserve pareto` and `ecoserve plan --carbon-price` as a user meets them."""

import json
from pathlib import Path

import pytest

from ecoserve.cli.app import run

EXAMPLES = Path(__file__).parents[3] / "examples"
FLEET = """
nodes:
  - {sku: p4de.24xlarge, count: 4, zone: us-east}
  - {sku: p5.48xlarge, count: 2, zone: us-west}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    intensities = ["--intensity", "us-east=700", "--intensity", "us-west=20"]
    return ["-f", str(EXAMPLES / "llmserving-8b.yaml"), "-f", str(path), *intensities]


def test_the_front_in_json_is_monotone(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pareto", *files, "--plans", "3", "--output", "json"]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert len(points) >= 2
    for name, sign in (("costPerHour", 1), ("gramsPerHour", -1), ("pricePerTonne", 1)):
        values = [sign * point[name] for point in points]
        assert values == sorted(values)


def test_the_front_is_printed_as_a_table_that_fits_and_drawn(
    files: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "front.svg"
    assert run(["pareto", *files, "--plans", "2", "--plot", str(picture)]) == 0
    assert "$ per hour" in picture.read_text()
    assert sorted(tmp_path.iterdir()) == [tmp_path / "fleet.yaml", picture]
    out = capsys.readouterr().out
    assert "worth it from $/t" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_high_price_turns_a_plan_green(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    grams = []
    for price in ("0", "1e6"):
        assert run(["plan", *files, "--carbon-price", price, "--output", "json"]) == 0
        grams.append(json.loads(capsys.readouterr().out)["spec"]["gramsPerHour"])
    assert grams[1] < grams[0]
    assert run(["plan", *files, "--carbon-price", "80"]) == 0
    assert "cost with carbon at 80 $/t" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--carbon-price", "-1"], "--carbon-price"),
        (["plan", "--carbon-price", "nan"], "--carbon-price"),
        (["plan", "--carbon-price", "5", "--objective", "energy"], "energy"),
        (["pareto", "--plans", "1"], "--plans"),
        (["pareto", "--gap", "2"], "--gap"),
        (["pareto", "--plot", "front.gif"], ".svg"),
        (["pareto", "--plot", "/nowhere/front.svg"], "/nowhere"),
    ],
)
def test_bad_input_is_one_sentence(
    files: list[str], arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, *files]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err
