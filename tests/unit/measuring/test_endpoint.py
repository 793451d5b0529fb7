"""Measuring against a real server on loopback, and what is said when it misbehaves."""

import asyncio
import socket

import pytest
import yaml

from ecoserve.api import HardwareProfile
from ecoserve.catalog import MeasuredPoint
from ecoserve.cli.app import run as command_line
from ecoserve.errors import InvalidInputError, MeasurementError
from ecoserve.measuring.endpoint import Endpoint, Timing
from ecoserve.measuring.power import PrometheusPower
from ecoserve.measuring.sweep import Load, measure

LOAD = Load(input_tokens=64, output_tokens=8, concurrency=1, seconds=0.0)

MEASURE = ["profile", "measure", "--model", "Qwen/Qwen3-8B", "--base", "g6.xlarge"]


def run(server, *loads: Load, power: PrometheusPower | None = None, **options) -> tuple[MeasuredPoint, ...]:
    endpoint = Endpoint(url=server.url, model="m", **options)
    return asyncio.run(measure(endpoint, loads or (LOAD,), power)).points


def test_latencies_are_at_least_the_delays_of_the_server(server):
    (point,) = run(server)
    assert (point.output_tokens, point.batch) == (8, 1)
    assert point.ttft_seconds >= server.ttft_seconds
    assert point.tpot_seconds >= server.tpot_seconds
    assert point.power_watts is None


def test_prompts_are_scaled_to_the_tokens_the_server_counts_and_never_repeat(server):
    (point,) = run(server)
    assert point.input_tokens == 64  # this server counts two tokens a word
    prompts = [body["prompt"] for body in server.asked]
    assert len(prompts[-1].split()) == 32
    assert len(set(prompts)) == len(prompts)


def test_as_many_are_in_flight_as_asked_for(server):
    points = run(server, LOAD, Load(input_tokens=64, output_tokens=8, concurrency=4, seconds=0.0))
    assert [point.batch for point in points] == [1, 4]
    assert server.most_at_once == 4


def test_a_server_that_knows_no_extensions_is_asked_without(server):
    server.behaviour = "strict"
    (point,) = run(server)
    assert "ignore_eos" in server.asked[0]
    assert all("ignore_eos" not in body for body in server.asked[1:])
    assert (point.input_tokens, point.output_tokens) == (64, 8)


def test_the_key_is_sent_and_shown_nowhere(server):
    run(server, api_key="sesame")
    assert server.keys == {"Bearer sesame"}
    assert "sesame" not in repr(Endpoint(url=server.url, model="m", api_key="sesame"))
    server.behaviour = "401"
    with pytest.raises(MeasurementError) as caught:
        run(server, api_key="sesame")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("401", "401: it wants a key"),
        ("500", "answers 500"),
        ("html", "text/html, not an event stream"),
        ("stall", r"nothing for 0\.2 s"),
        ("garbage", "no JSON object"),
        ("error", "out of memory"),
        ("empty", "without a token"),
        ("short", "after one token"),
        ("cut", "broke a stream off after 1 of 2 tokens"),
        ("endless", "2 tokens were asked for"),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence(server, behaviour: str, message: str):
    server.behaviour = behaviour
    with pytest.raises(MeasurementError, match=message):
        run(server, silence_seconds=0.2)


def test_the_command_prints_a_profile_of_every_load(server, capsys, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sesame")
    loads = ["--concurrency", "1,2", "--input", "8,16", "--output-tokens", "4", "--hold-seconds", "0"]
    named = ["--api-key-env", "MY_KEY", "--served-model", "served"]
    assert command_line([*MEASURE, "--endpoint", server.url, *loads, *named]) == 0
    printed = capsys.readouterr()
    profile = HardwareProfile.model_validate(yaml.safe_load(printed.out)).spec.profiles[0]
    assert [(point.input_tokens, point.batch) for point in profile.points] == [
        (8, 1),
        (8, 2),
        (16, 1),
        (16, 2),
    ]
    assert profile.precision == "bf16"
    assert {body["model"] for body in server.asked} == {"served"}
    assert server.keys == {"Bearer sesame"}
    assert "sesame" not in printed.out + printed.err


@pytest.mark.parametrize("behaviour", ["uncounted", "miscounted"])
def test_where_no_token_counts_are_told_words_and_chunks_count_and_the_profile_says_so(
    server, capsys, behaviour: str
):
    server.behaviour = behaviour
    load = ["--concurrency", "1", "--input", "8", "--output-tokens", "4", "--hold-seconds", "0"]
    assert command_line([*MEASURE, "--endpoint", server.url, *load]) == 0
    printed = capsys.readouterr()
    profile = HardwareProfile.model_validate(yaml.safe_load(printed.out)).spec.profiles[0]
    assert [(point.input_tokens, point.output_tokens) for point in profile.points] == [(8, 4)]
    assert "words and chunks were counted" in profile.origin
    assert "tells no token counts" in printed.err


def test_a_refused_connection_is_told():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(MeasurementError, match="can't be reached"):
        asyncio.run(measure(Endpoint(url=url, model="m"), (LOAD,)))


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host", "http://", "http://user:secret@host"])
def test_an_address_must_be_one(url: str):
    with pytest.raises(InvalidInputError) as caught:
        Endpoint(url=url, model="m")
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="--prometheus") as caught:
        PrometheusPower(url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_the_path_may_be_left_out(url: str):
    assert Endpoint(url=url, model="m").completions_url == "http://h:1/v1/completions"


def test_power_is_the_mean_over_the_load(server):
    (point,) = run(server, power=PrometheusPower(url=server.url, selector='gpu="0"', devices=1))
    assert point.power_watts == 320
    assert server.asked[-1]["query"] == 'sum(DCGM_FI_DEV_POWER_USAGE{gpu="0"})'
    (point,) = run(server, power=PrometheusPower(url=server.url))
    assert "node_rapl_package_joules_total" in server.asked[-1]["query"]


@pytest.mark.parametrize(
    ("series", "behaviour", "message"),
    [(0, "serve", "has no DCGM"), (8, "serve", "8 series, 1 devices"), (1, "unscraped", "scraped nothing")],
)
def test_power_that_is_not_there_is_told(server, series: int, behaviour: str, message: str):
    server.power_series, server.behaviour = series, behaviour
    with pytest.raises(MeasurementError, match=message):
        run(server, power=PrometheusPower(url=server.url, devices=1))


def test_a_server_that_is_no_prometheus_is_told(server):
    with pytest.raises(MeasurementError, match="404"):
        run(server, power=PrometheusPower(url=f"{server.url}/elsewhere", devices=1))


def test_tokens_within_a_window_are_in_proportion():
    timing = Timing(input_tokens=1, output_tokens=10, reported=True, sent=0.0, first=1.0, last=3.0)
    assert timing.tokens_between(0, 4) == 10
    assert timing.tokens_between(2, 4) == 5
    assert timing.tokens_between(4, 5) == 0
