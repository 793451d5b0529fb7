"""Load out of Prometheus: queries, whole conversations over a real connection, and what happens when they go wrong."""

import asyncio
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from ecoserve.api.load import Engine, Load, PrometheusLoad
from ecoserve.errors import InvalidInputError
from ecoserve_operator.signals.load.client import LoadAnswer, LoadClient
from ecoserve_operator.signals.load.engines import LoadQuestion, default_selector, engine_of, question_of
from ecoserve_operator.signals.load.reading import LoadFreshness, LoadReading, read_load
from ecoserve_operator.signals.providers.follow import Known
from ecoserve_operator.signals.providers.port import BadReplyError, KeyProblemError, ProviderError

HOUR = timedelta(hours=1)
SELECTOR = {"namespace": "n", "ecoserve_dev_serving": "chat"}
STATED = Load.model_validate(
    {"requestsPerSecond": 7.0, "inputTokens": 500, "outputTokens": 100, "prometheus": {}}
)
BARE = Load.model_validate({"prometheus": {}})


def now() -> datetime:
    return datetime.now(UTC)


def asked(engine: Engine = Engine.VLLM, url: str = "http://prometheus:9090", **load: Any) -> LoadQuestion:
    return question_of(PrometheusLoad.model_validate(load), SELECTOR, engine, url)


class Told:
    """A Prometheus that tells rate, queue, running requests, lengths and history; any of them can be changed."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"requests": 5.0, "waiting": 2.0, "running": 40.0}
        self.buckets: dict[str, float] = {"100": 1.0, "1000": 3.0, "+Inf": 4.0, "mean": 640.0}
        self.hours = 30
        self.time = 0.0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = request.query["query"]
        if "_bucket" in query:
            rows: list[Any] = [
                {"metric": {"le": le}, "value": [now().timestamp(), str(rate)]}
                for le, rate in self.buckets.items()
            ]
            return self.reply("vector", rows)
        if request.path.endswith("query_range"):
            end = float(request.query["end"])
            values = [[end - k * 3600, "4.5"] for k in range(self.hours)][::-1]
            return self.reply("matrix", [{"metric": {}, "values": values}])
        name = "requests" if "rate(" in query else "waiting" if "waiting" in query else "running"
        value = self.values[name]
        if value is None:
            return self.reply("vector", [])
        return self.reply("vector", [{"metric": {}, "value": [now().timestamp() + self.time, str(value)]}])

    @staticmethod
    def reply(kind: str, rows: list[Any]) -> web.StreamResponse:
        return web.json_response({"status": "success", "data": {"resultType": kind, "result": rows}})


@pytest.fixture
def told(site: Any) -> Told:
    prometheus = Told()
    site.replies |= {"/api/v1/query": prometheus.answer, "/api/v1/query_range": prometheus.answer}
    return prometheus


@pytest.fixture
def ask(site: Any, made_up_keys: Any) -> Callable[..., LoadAnswer]:
    """Ask once (or several times) over a real connection."""

    def run(
        times: int = 1, keys: dict[str, str] | None = None, whole_seconds: float = 20.0, **load: Any
    ) -> LoadAnswer:
        async def play() -> LoadAnswer:
            async with site.served(whole_seconds) as fetcher:
                question = asked(url=site.url, **load)
                made_up = {name: value.replace("URL", site.url) for name, value in (keys or {}).items()}
                client = LoadClient(question=question, keys=made_up_keys(made_up), fetcher=fetcher)
                for _ in range(times - 1):
                    await client.ask(now())
                return await client.ask(now())

        return asyncio.run(play())

    return run


@pytest.mark.usefixtures("told")
def test_a_whole_answer(site: Any, ask: Callable[..., LoadAnswer]) -> None:
    answer = ask(times=3)
    assert (answer.requests_per_second, answer.waiting, answer.aside) == (5.0, 2.0, "")
    assert answer.lengths is not None
    assert answer.lengths.inputs.mean == pytest.approx(640.0)
    whole = now().replace(minute=0, second=0, microsecond=0)
    assert len(answer.hours) == 30
    assert max(answer.hours) == whole - HOUR, "a value at an hour's end is the mean of that hour"
    assert len(site.asked) == 3 * 3 + 3, "lengths and history are not asked each time"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no series": ({"requests": None}, "nothing is measured"),
    "engines that vanished": ({"running": None}, "nothing is measured"),
    "NaN": ({"requests": "NaN"}, "nothing is measured"),
    "infinite": ({"requests": "+Inf"}, "can't be"),
    "negative": ({"requests": -1.0}, "can't be"),
    "absurd": ({"requests": 1e12}, "can't be"),
    "a negative queue": ({"waiting": -3}, "waiting requests are -3.0"),
    "infinitely many running": ({"running": "Inf"}, "running requests are inf"),
    "all wait and nothing moves": ({"requests": 0.0, "waiting": 50}, "something stands still"),
    "text": ({"requests": "many"}, "not a time and a value"),
}


@pytest.mark.parametrize("name", BAD)
def test_figures_that_cannot_be_are_no_answer(name: str, told: Told, ask: Callable[..., LoadAnswer]) -> None:
    changed, words = BAD[name]
    told.values |= changed
    with pytest.raises(BadReplyError, match=words):
        ask()


def test_no_load_is_an_answer(told: Told, ask: Callable[..., LoadAnswer]) -> None:
    told.values |= {"requests": 0.0, "waiting": 0, "running": 0}
    told.buckets = {"100": 0.0, "+Inf": 0.0, "mean": math.nan}
    answer = ask()
    assert (answer.requests_per_second, answer.lengths) == (0.0, None)


def test_a_clock_that_is_ahead_is_told(told: Told, ask: Callable[..., LoadAnswer]) -> None:
    told.time = 3600.0
    with pytest.raises(BadReplyError, match="60 min ahead"):
        ask()


def test_several_series_are_not_summed_by_guess(site: Any, ask: Callable[..., LoadAnswer]) -> None:
    row = {"metric": {}, "value": [now().timestamp(), "1"]}
    site.replies["/api/v1/query"] = {
        "status": "success",
        "data": {"resultType": "vector", "result": [row, row]},
    }
    with pytest.raises(BadReplyError, match="gives 2 series"):
        ask()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"text": "<html>login</html>", "content_type": "text/html"}, "HTML"),
        ({"status": 401}, "refuses the account"),
        ({"status": 400, "text": "parse error: SECRET"}, r"can't evaluate the query of requests \(400\)"),
        ({"status": 503}, "status 503"),
        ({"status": 302, "headers": {"Location": "/login"}}, "redirects"),
        ({"text": "{"}, "no JSON"),
        ({"text": "x" * 6_000_000}, "larger than"),
        ({"text": "{}", "wait_seconds": 30.0}, "no whole answer"),
        ({"text": json.dumps({"status": "error", "error": "SECRET"})}, "status is 'error'"),
    ],
    ids=["HTML", "401", "400", "503", "redirect", "cut off", "huge", "slow", "error"],
)
def test_replies_that_are_none(
    reply: dict[str, Any],
    words: str,
    site: Any,
    text_reply: Callable[..., Any],
    ask: Callable[..., LoadAnswer],
) -> None:
    site.replies["/api/v1/query"] = text_reply(**reply)
    with pytest.raises(ProviderError, match=words) as error:
        ask(whole_seconds=0.3 if "wait_seconds" in reply else 20.0)
    assert "SECRET" not in str(error.value)


def test_lengths_or_history_that_fail_leave_the_rate_good(
    told: Told, site: Any, ask: Callable[..., LoadAnswer]
) -> None:
    told.buckets = {"100": 3.0, "+Inf": 1.0}
    del site.replies["/api/v1/query_range"]
    answer = ask()
    assert answer.requests_per_second == 5.0
    assert answer.lengths is None
    assert "inputTokens buckets" in answer.aside
    assert "404" in answer.aside


@pytest.mark.usefixtures("told")
def test_an_account_sends_its_key_where_it_stands(site: Any, ask: Callable[..., LoadAnswer]) -> None:
    ask(keys={"prom.url": "URL", "prom.token": "tok"}, account="prom")
    assert {request.headers.get("Authorization") for request in site.asked} == {"Bearer tok"}
    site.asked.clear()
    ask(keys={"prom.url": "URL", "prom.username": "u", "prom.password": "p"}, account="prom")
    assert all(request.headers["Authorization"].startswith("Basic ") for request in site.asked)
    with pytest.raises(KeyProblemError, match=r"prom\.url"):
        ask(keys={"prom.token": "tok"}, account="prom")


def test_without_any_address_it_says_where_to_give_one(made_up_keys: Any) -> None:
    client = LoadClient(question=asked(url=""), keys=made_up_keys({}), fetcher=SimpleNamespace())  # type: ignore[arg-type]  # not reached
    with pytest.raises(BadReplyError, match="--prometheus-url"):
        asyncio.run(client.ask(now()))


def test_queries_of_each_engine_are_of_its_own_metrics() -> None:
    vllm, sglang, tgi, llm_d = (
        asked(engine) for engine in (Engine.VLLM, Engine.SGLANG, Engine.TGI, Engine.LLM_D)
    )
    matched = '{ecoserve_dev_serving="chat",namespace="n"}'
    assert f"sum(rate(vllm:request_success_total{matched}[300s]))" in vllm.requests
    assert "deriv(" in vllm.requests, "what comes is what ends and what the queues grow by"
    assert f"sglang:num_requests_total{matched}" in sglang.requests
    assert tgi.requests == f"sum(rate(tgi_request_count{matched}[300s]))"
    assert tgi.hourly == f"sum(rate(tgi_request_count{matched}[3600s]))"
    assert "llm_d_epp_request_total" in llm_d.requests
    assert "inference_objective_request_total" in llm_d.requests
    assert "vllm:request_prompt_tokens_bucket" in vllm.input_tokens
    assert "[3600s]" in vllm.input_tokens


def test_own_queries_take_the_place_of_built_in_ones() -> None:
    own = asked(queries={"requests": "gateway_rps", "waiting": "queue_depth"})
    assert (own.requests, own.waiting, own.running) == ("gateway_rps", "queue_depth", "")
    assert own.hourly == "avg_over_time((gateway_rps)[1h:5m])"
    assert "vllm:request_prompt_tokens_bucket" in own.input_tokens
    assert asked(queries={"requests": "gateway_rps"}).waiting == "", "no queue of another source"
    queued = asked(queries={"waiting": "queue_depth"})
    assert "sum(queue_depth)" in queued.requests, "an engine's rate grows by the queue in front of it"


def test_labels_are_written_so_that_none_ends_its_quotes() -> None:
    question = asked(selector={"model_name": 'a"} or vector(1) #\\'})
    assert 'model_name="a\\"} or vector(1) #\\\\"' in question.waiting


@pytest.mark.parametrize(
    ("container", "engine"),
    [
        ({"image": "vllm/vllm-openai:v0.11.0"}, Engine.VLLM),
        ({"image": "own:1", "command": ["vllm", "serve"]}, Engine.VLLM),
        ({"image": "lmsysorg/sglang:latest"}, Engine.SGLANG),
        ({"image": "x", "args": ["python", "-m", "sglang.launch_server"]}, Engine.SGLANG),
        ({"image": "ghcr.io/huggingface/text-generation-inference:3"}, Engine.TGI),
    ],
)
def test_the_template_tells_the_engine(container: dict[str, Any], engine: Engine) -> None:
    assert engine_of({"spec": {"containers": [container]}}) is engine


@pytest.mark.parametrize("template", [None, {}, {"spec": 3}, {"spec": {"containers": [{"image": "own:1"}]}}])
def test_a_template_that_tells_no_engine_is_told(template: Any) -> None:
    with pytest.raises(InvalidInputError, match="vllm, sglang, tgi, llm-d"):
        engine_of(template)


def test_a_gateways_series_are_known_by_model_and_pods_by_their_label() -> None:
    assert default_selector(Engine.LLM_D, "n", "chat", "m") == {"namespace": "n", "model_name": "m"}
    assert default_selector(Engine.SGLANG, "n", "chat", "m") == SELECTOR


def read(
    problem: str = "", last: LoadReading | None = None, load: Load = STATED, answer: LoadAnswer | None = None
) -> LoadReading:
    return read_load(load, asked(), Known(answer, problem, asked=True), now(), last)


def test_what_was_never_measured_is_the_specs_or_waits() -> None:
    assert read("no answer").freshness is LoadFreshness.FALLBACK
    assert read("no answer").load is None
    bare = read("no answer", load=BARE)
    assert (bare.freshness, bare.load) == (LoadFreshness.UNKNOWN, None)
    assert "give requestsPerSecond or trace" in bare.message
    waits = read_load(STATED, asked(), Known(), now(), None)
    assert waits.freshness is LoadFreshness.UNKNOWN, "before the first answer nothing is planned twice"


def test_load_that_is_no_longer_seen_is_held_for_ever() -> None:
    measured = read(answer=LoadAnswer(told_at=now(), requests_per_second=5.0))
    assert measured.load is not None
    assert (measured.freshness, measured.measured_per_second) == (LoadFreshness.MEASURED, 5.0)
    old = LoadAnswer(told_at=now() - timedelta(days=9), requests_per_second=5.0)
    held = read("the query of requests gives 0 series", measured, BARE, old)
    assert held.freshness is LoadFreshness.HELD
    assert held.load == measured.load
    assert "0 series" in held.message
    assert read("still down", held, BARE, old).load == measured.load
    assert read("never asked since", held, BARE).load == measured.load


def test_one_failure_between_answers_is_no_staleness() -> None:
    recent = LoadAnswer(told_at=now() - timedelta(seconds=60), requests_per_second=5.0)
    found = read("no answer", answer=recent)
    assert found.freshness is LoadFreshness.MEASURED
    assert "no newer answer: no answer" in found.message
    assert found.held_from == recent.told_at + timedelta(seconds=300), "it is looked at again then"
    assert read(answer=recent).held_from is None
