"""Load measured by a real Prometheus, which scrapes an exporter that replays a trace under vLLM's names.

Time runs some hundred times faster than in a cluster: scrapes every quarter of a second, windows of ten.
"""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

import pytest

from ecoserve.api.load import Engine, Load, PrometheusLoad
from ecoserve.workload.history import KEPT_HOURS, load_history
from ecoserve.workload.lengths import length_distribution
from ecoserve_operator.signals.load.client import LoadAnswer, LoadClient
from ecoserve_operator.signals.load.engines import METRICS, LoadQuestion, question_of
from ecoserve_operator.signals.load.reading import LoadFreshness, LoadReading, read_load
from ecoserve_operator.signals.providers.follow import Known
from ecoserve_operator.signals.providers.http import Fetcher, new_client
from ecoserve_operator.signals.providers.port import ProviderError

pytestmark = pytest.mark.devcluster

WINDOW = 10
STATED = Load.model_validate(
    {"requestsPerSecond": 1.0, "inputTokens": 9, "outputTokens": 9, "prometheus": {}}
)


def ask(question: LoadQuestion) -> Known[LoadAnswer]:
    """What a follower would know after one question."""

    async def play() -> Known[LoadAnswer]:
        async with new_client() as client:
            load = LoadClient(question=question, keys=None, fetcher=Fetcher(client))  # type: ignore[arg-type]  # no account
            try:
                return Known(await load.ask(datetime.now(UTC)), "", asked=True)
            except ProviderError as error:
                return Known(None, str(error), asked=True)

    return asyncio.run(play())


def eventually(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.5)
    return found


def asked(url: str, engine: Engine, **load: Any) -> LoadQuestion:
    spec = {"windowSeconds": WINDOW, "selector": {"model_name": "m"}, **load}
    return question_of(PrometheusLoad.model_validate(spec), {}, engine, url)


def test_a_replayed_trace_is_measured_and_what_fails_afterwards_is_held(prometheus: Any, vllm: Any) -> None:
    question = asked(prometheus.url, Engine.VLLM)
    assert ask(question).answer is None, "there is nothing to measure yet"

    vllm.play("azure-conversation-2023", requests_per_second=40.0)
    time.sleep(WINDOW + 3)

    def measured() -> LoadAnswer | None:
        answer = ask(question).answer
        return answer if answer is not None and abs(answer.requests_per_second - 40.0) < 6.0 else None

    answer = eventually(measured)
    assert answer.lengths is not None
    buckets = length_distribution("azure-conversation-2023")
    mean_in = sum(bucket.input_tokens * bucket.share for bucket in buckets)
    mean_out = sum(bucket.output_tokens * bucket.share for bucket in buckets)
    assert answer.lengths.inputs.mean == pytest.approx(mean_in, rel=0.15)
    assert answer.lengths.outputs.mean == pytest.approx(mean_out, rel=0.15)
    reading = read_load(STATED, question, Known(answer, "", asked=True), datetime.now(UTC), None)
    assert reading.freshness is LoadFreshness.MEASURED
    assert reading.load is not None
    assert reading.load.requests_per_second == pytest.approx(40.0, rel=0.25)
    assert len(reading.load.buckets) > 4

    vllm.restart_counters()
    time.sleep(3)
    after = ask(question).answer
    assert after is not None
    assert after.requests_per_second == pytest.approx(40.0, rel=0.5), "a restarted engine is no negative rate"

    vllm.queue(500)
    vllm.play("azure-conversation-2023", requests_per_second=0.0)
    stuck = eventually(lambda: (known := ask(question)).answer is None and known)
    assert "something stands still" in stuck.problem

    vllm.vanish()
    gone = eventually(lambda: "nothing is measured" in (known := ask(question)).problem and known)
    held = read_load(STATED, question, gone, datetime.now(UTC), reading)
    assert (held.freshness, held.load) == (LoadFreshness.HELD, reading.load)

    prometheus.stop()
    down = ask(question)
    assert "no answer" in down.problem
    assert hold(question, down, reading).load == reading.load


def hold(question: LoadQuestion, known: Known[LoadAnswer], last: LoadReading) -> LoadReading:
    return read_load(STATED, question, known, datetime.now(UTC), last)


def test_requests_that_wait_count_as_load_before_they_end(prometheus: Any, vllm: Any) -> None:
    vllm.play("azure-code-2023", requests_per_second=0.0)
    for waiting in range(0, 60 * 20, 20):  # twenty a quarter of a second more wait, and none ends
        vllm.queue(waiting)
        time.sleep(0.25)
    answer = ask(asked(prometheus.url, Engine.VLLM)).answer
    assert answer is not None
    assert answer.waiting is not None
    assert answer.waiting > 800
    assert answer.requests_per_second == pytest.approx(80.0, rel=0.3)


def past(begin: datetime, hours: int, rate: Callable[[datetime], float]) -> str:
    """vLLM's counters every five minutes, as OpenMetrics; the engine is started anew each day."""
    done = 0.0
    counters, waiting, running = [], [], []
    labels = '{model_name="m",finished_reason="stop"}'
    for step in range(hours * 12 + 1):
        time = begin + timedelta(minutes=5 * step)
        done = 0.0 if step % 288 == 0 else done + 300.0 * rate(time)
        counters.append(f"vllm:request_success_total{labels} {done} {time.timestamp()}")
        waiting.append(f'vllm:num_requests_waiting{{model_name="m"}} 0 {time.timestamp()}')
        running.append(f'vllm:num_requests_running{{model_name="m"}} 3 {time.timestamp()}')
    lines = [
        "# TYPE vllm:request_success counter", *counters,
        "# TYPE vllm:num_requests_waiting gauge", *waiting,
        "# TYPE vllm:num_requests_running gauge", *running, "# EOF", "",
    ]  # fmt: skip
    return "\n".join(lines)


def test_a_restart_finds_two_weeks_of_history_and_what_drifted_in_it(
    start_prometheus: Callable[..., Any], vllm: Any
) -> None:
    whole = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    begin, drifted = whole - timedelta(hours=16 * 24), whole - timedelta(hours=30)

    def rate(time: datetime) -> float:
        daily = 10.0 * (1.0 + math.cos(2 * math.pi * (time.hour - 18) / 24) / 3)
        return daily * (0.4 if time.weekday() >= 5 else 1.0) * (2.0 if time > drifted else 1.0)

    prometheus = start_prometheus(past(begin, 16 * 24, rate))
    vllm.play("azure-code-2023", requests_per_second=5.0)
    answer = eventually(lambda: ask(asked(prometheus.url, Engine.VLLM)).answer)
    assert len(answer.hours) == KEPT_HOURS
    assert max(answer.hours) == whole - timedelta(hours=1)
    errors = [abs(told / rate(hour + timedelta(minutes=30)) - 1.0) for hour, told in answer.hours.items()]
    assert fmean(errors) < 0.06, "means of hours, but for what a restart takes out of one"
    history = load_history(answer.hours)
    assert history is not None
    assert history.drift is not None
    assert abs(history.drift.since - drifted) <= timedelta(hours=2)
    assert history.drift.factor == pytest.approx(2.0, rel=0.15)
    usual = rate(whole - timedelta(days=7))
    expected = history.expected(2 * usual, whole)
    assert expected is not None
    assert expected >= 1.8 * usual


@pytest.mark.parametrize("engine", METRICS)
def test_the_queries_of_every_engine_are_understood(prometheus: Any, engine: Engine) -> None:
    question = asked(prometheus.url, engine, queries={"waiting": "vector(3)"})
    own = asked(prometheus.url, engine, queries={"requests": "vector(2.5)"})
    built_in = asked(prometheus.url, engine)
    for query in (
        question.requests, question.hourly, built_in.requests, built_in.hourly, built_in.waiting,
        built_in.running, built_in.input_tokens, built_in.output_tokens, own.requests, own.hourly, question.waiting,
    ):  # fmt: skip
        assert prometheus.query(query)["status"] == "success", query
    assert prometheus.query(own.hourly)["data"]["result"][0]["value"][1] == "2.5"
