"""`ecoserve capacity` as a user meets it."""

import json

import pytest

from ecoserve.cli.app import run

ASKED = [
    "capacity", "--model", "meta-llama/Llama-3.1-8B-Instruct", "--gpu", "h100-sxm", "--input", "1000", "--output-tokens", "200",
]  # fmt: skip


def test_the_rate_what_bounds_it_and_the_simulation_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED, "--simulate", "--requests", "2000", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["requestsPerSecond"] > 5
    assert found["limit"] == "Tpot"
    assert found["tpotSeconds"] <= 0.05
    assert found["simulation"]["both"]["percent"] > 70
    assert found["simulation"]["both"]["percent"] <= found["simulation"]["ttft"]["percent"]


def test_what_to_expect_of_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rate, error = found["requestsPerSecond"], found["standardError"]
    assert 0 < error["requestsPerSecond"] < 0.02 * rate
    assert 0.1 < error["percentOfRequests"] < 2
    expected = found["expectedError"]
    low, high = expected["requestsPerSecond"]
    assert low < rate * (1 - expected["stepTimes"] / 2)
    assert high > rate * (1 + expected["stepTimes"] / 2)
    # A step alone takes 8 ms: 6 % more, and no rate would do.
    assert run([*ASKED, "--tpot", "8.2ms", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["expectedError"]["requestsPerSecond"][0] == 0


def test_bursts_cost_rate(capsys: pytest.CaptureFixture[str]) -> None:
    rates = []
    for burstiness in ("1", "3"):
        assert run([*ASKED, "--burstiness", burstiness, "--output", "json"]) == 0
        rates.append(json.loads(capsys.readouterr().out)["requestsPerSecond"])
    assert rates[1] < 0.95 * rates[0]


def test_the_table_fits_and_says_what_bounds_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED, "--simulate", "--requests", "1000"]) == 0
    out = capsys.readouterr().out
    assert "TPOT: steps grow" in out
    assert "error of the search" in out
    assert "step times ± 6%" in out
    assert "of requests" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_no_rate_at_all_has_a_status_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED, "--ttft", "20ms"]) == 3
    assert "20 ms is asked" in " ".join(capsys.readouterr().out.split())
    assert run([*ASKED, "--ttft", "20ms", "--output", "json"]) == 3
    assert json.loads(capsys.readouterr().out)["reason"] == "TtftUnreachable"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--ttft", "5x"], "--ttft"),
        (["--tpot", "-1s"], "--tpot"),
        (["--percentile", "20"], "percentile"),
        (["--burstiness", "nan"], "--burstiness"),
        (["--burstiness", "9"], "--burstiness"),
        (["--role", "encode"], "--role"),
        (["--requests", "3"], "--requests"),
        (["--gpu", "h10"], "h10"),
        (["--model", "llama"], "llama"),
        (["--input", "0"], "inputTokens"),
        (["--tensor-parallel", "99"], "tensor_parallel"),
        (["--precision", "bf15"], "precision"),
    ],
)
def test_bad_input_is_named(options: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASKED, *options]) == 2
    assert word in capsys.readouterr().err
