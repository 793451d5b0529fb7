"""`ecoserve footprint` as a user meets it: the published figures, parts, the range, one-line errors."""

import json
from typing import Any

import pytest

from ecoserve.cli.app import run

H100_NODE = [
    "--gpu",
    "h100-sxm",
    "--gpus",
    "8",
    "--dram-gb",
    "2000",
    "--ssd-gb",
    "22720",
    "--cpu-watts",
    "350",
]
A100_NODE = [
    "--gpu",
    "a100-80-sxm",
    "--gpus",
    "8",
    "--dram-gb",
    "1900",
    "--ssd-gb",
    "6400",
    "--cpu-watts",
    "100",
]
KEYS = {
    "gpuKg", "hostKg", "nodeKg", "embodiedGramsPerHour", "operationalGramsPerHour", "powerKilowatts",
    "crossoverIntensity", "parts",
}  # fmt: skip


@pytest.fixture
def footprint(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> Any:
        assert run(["footprint", *arguments, "--output", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize(
    ("arguments", "gpu", "host", "node", "grams", "kilowatts", "crossover"),
    [
        ([*H100_NODE, "--coefficients", "ecoserve"], 103.0, 1083.7, 1907.7, 54.4, 5.95, 11.4),
        ([*H100_NODE, "--coefficients", "ecoserve-2025"], 103.0, 3355.4, 4179.4, 119.3, 5.95, 25.1),
        ([*A100_NODE, "--coefficients", "ecoserve"], 99.0, 891.5, 1683.5, 48.0, 3.3, 18.2),
    ],
)
def test_published_nodes(footprint, arguments, gpu, host, node, grams, kilowatts, crossover):
    found = footprint(*arguments, "--utilization", "0.8", "--lifetime-years", "4", "--intensity", "261")
    assert found.keys() >= KEYS
    shown = [round(found[key], 1) for key in ("gpuKg", "hostKg", "nodeKg", "embodiedGramsPerHour")]
    assert shown == [gpu, host, node, grams]
    assert round(found["powerKilowatts"], 2) == kilowatts
    assert round(found["crossoverIntensity"], 1) == crossover
    assert found["nodeKg"] == pytest.approx(8 * round(found["gpuKg"], 1) + found["hostKg"])
    assert "rounded" in found["notes"][0]
    assert sum(found["parts"]["gpu"].values()) == pytest.approx(found["gpuKg"])
    assert sum(found["parts"]["host"].values()) == pytest.approx(found["hostKg"])


@pytest.mark.parametrize(("intensity", "grams"), [("17", 80.9), ("261", 1242.4), ("501", 2384.8)])
def test_published_operational_grams(footprint, intensity, grams):
    assert round(footprint(*H100_NODE, "--intensity", intensity)["operationalGramsPerHour"], 1) == grams


@pytest.mark.parametrize(
    ("card", "kg"),
    [
        ("t4", 26.8), ("l4", 31.1), ("a40", 80.8), ("rtxa6000", 80.8), ("a100-40-pcie", 94.7), ("a100-80-sxm", 99.0),
        ("v100-32-pcie", 58.6), ("h100-pcie", 115.5), ("h100-sxm", 103.0), ("gh200", 107.0),
    ],
)  # fmt: skip
def test_published_cards(footprint, card, kg):
    found = footprint(card)
    assert round(found["gpuKg"], 1) == kg
    assert found["parts"]["gpu"].keys() == {"memory", "board", "psu", "cooling", "soc", "connectors"}
    assert found["hostKg"] == 0
    assert found["nodeKg"] == found["gpuKg"]
    assert found["notes"] == []


def test_a_catalogue_node_and_numbers_in_place_of_its_own(footprint):
    listed, leaner = footprint("p5.48xlarge"), footprint("p5.48xlarge", "--dram-gb", "1048", "--gpus", "4")
    assert listed["hostKg"] - leaner["hostKg"] == pytest.approx(1000 * 0.29)
    assert listed["powerKilowatts"] - leaner["powerKilowatts"] == pytest.approx(4 * 0.7)


def test_every_figure_has_a_scope_and_a_source(footprint):
    for name in ("ecoserve", "ecoserve-2025", "act", "greensku", "boavizta"):
        found = footprint("p5.48xlarge", "--coefficients", name)
        assert found["coefficients"] == name
        assert {item["scope"] for item in found["figures"]} <= {"die", "card", "node"}
        assert all(item["source"] for item in found["figures"])
        assert any(item["borrowed"] for item in found["figures"]) == (name == "greensku")


def test_the_range_holds_every_set_and_names_its_ends(footprint):
    found = footprint(*H100_NODE, "--range")
    assert list(found["sets"]) == ["ecoserve", "ecoserve-2025", "act", "greensku", "boavizta"]
    gpu = found["range"]["gpuKg"]
    assert (round(gpu["least"], 1), gpu["leastCoefficients"]) == (28.0, "act")
    assert (gpu["most"], gpu["mostCoefficients"]) == (575.1, "boavizta")
    for total, ends in found["range"].items():
        assert ends["least"] <= found[total] <= ends["most"]
    assert found["vendorGpuKg"]["kg"] == 164
    assert found["sets"]["act"]["notCounted"]
    assert "boavizta" in footprint("t4", "--range")["gaps"]


def test_age_use_and_power(footprint):
    base = footprint(*H100_NODE)
    aged = footprint(*H100_NODE, "--host-age", "8")
    assert aged["terms"]["amortisation"] == "age"
    assert aged["embodiedGramsPerHour"] < base["embodiedGramsPerHour"]
    by_use = footprint(*H100_NODE, "--amortisation", "use")
    assert by_use["embodiedGramsPerHour"] == pytest.approx(base["embodiedGramsPerHour"] / 0.8)
    assert footprint(*H100_NODE, "--pue", "1.12")["operationalGramsPerHour"] == pytest.approx(1242.36 * 1.12)
    wall = footprint(*H100_NODE, "--power", "wall", "--utilization", "0")
    assert wall["operationalGramsPerHour"] > 0
    assert footprint(*H100_NODE, "--utilization", "0")["crossoverIntensity"] is None


def test_tables_fit_and_name_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["t4"],
        [*H100_NODE, "--range"],
        ["g5.xlarge", "--range", "--coefficients", "greensku"],
    ):
        assert run(["footprint", *arguments]) == 0
        out = capsys.readouterr().out
        assert max(len(line) for line in out.splitlines()) <= 100
        for part in ("memory", "board", "psu", "cooling", "soc", "connectors", "crossover"):
            assert part in out
    assert "nobody has checked" in out
    assert "borrowed from ecoserve" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--gpu"),
        (["h100"], "h100-sxm"),
        (["--gpu", "h100-sx", "--dram-gb", "1", "--ssd-gb", "1", "--cpu-watts", "1"], "h100-sxm"),
        (["--gpu", "h100-sxm"], "--dram-gb"),
        (["--gpus", "2"], "--gpu"),
        (["t4", "--gpu", "l4"], "either"),
        (["t4", "--dram-gb", "16"], "no host"),
        (["t4", "--gpus", "0"], "cards from 1"),
        (["m7i.48xlarge", "--gpus", "1"], "no accelerator"),
        ([*H100_NODE, "--dram-gb", "-1"], "--dram-gb"),
        ([*H100_NODE, "--ssd-gb", "nan"], "--ssd-gb"),
        ([*H100_NODE, "--cpu-watts", "inf"], "--cpu-watts"),
        ([*H100_NODE, "--sockets", "2"], "--cpu"),
        ([*H100_NODE, "--cpu", "xeon"], "xeon-8480plus"),
        (["t4", "--utilization", "80"], "a share from 0 to 1"),
        (["t4", "--utilization", "nan"], "a share from 0 to 1"),
        (["t4", "--utilization", "0", "--amortisation", "use"], "utilization"),
        (["t4", "--intensity", "-1"], "--intensity"),
        (["t4", "--lifetime-years", "0"], "--lifetime-years"),
        (["t4", "--accelerator-lifetime-years", "nan"], "--accelerator-lifetime-years"),
        (["t4", "--age", "-1"], "--age"),
        (["t4", "--age", "5", "--amortisation", "calendar"], "--amortisation"),
        (["t4", "--amortisation", "used"], "calendar"),
        (["t4", "--power", "full"], "loaded-idle"),
        (["t4", "--pue", "0.9"], "--pue"),
        (["t4", "--coefficients", "boavizta"], "boavizta"),
        (["t4", "--coefficients", "eco"], "ecoserve"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["footprint", *arguments, "--output", "json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err
