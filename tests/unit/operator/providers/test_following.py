"""How the operator follows a provider: when it asks, what wakes the loop, what it holds and for how long."""

import asyncio
from datetime import UTC, datetime, timedelta

from ecoserve.api import GridZone
from ecoserve.carbon import IntensitySeries
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.intensity import Freshness
from ecoserve_operator.signals.providers.build import Question, question_of
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.signals.providers.port import (
    Answer,
    Point,
    Provider,
    StatusError,
    UnreachableError,
)
from ecoserve_operator.watch.records import zone_record

NOW = datetime(2026, 3, 6, 19, 20, tzinfo=UTC)
WHOLE = datetime(2026, 3, 6, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


def zone(name: str = "west") -> GridZone:
    record = zone_record(
        {
            "metadata": {"name": name, "uid": "z", "generation": 1},
            "apiVersion": "ecoserve.dev/v1alpha1",
            "kind": "GridZone",
            "spec": {
                "intensity": {"prometheus": {"url": "http://p", "query": "q"}},
                "fallbackGramsPerKilowattHour": 480,
            },
        }
    )
    assert record.grid is not None
    return record.grid


class Scripted:
    """A provider that answers as it is told; errors are raised."""

    interval_seconds = 0.001

    def __init__(self, *script: float | Exception) -> None:
        self.script = list(script)
        self.asked: list[float] = []
        self.done = asyncio.Event()

    async def ask(self, now: datetime) -> Answer:
        self.asked.append(asyncio.get_running_loop().time())
        if not self.script:
            self.done.set()
            await asyncio.Event().wait()
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return Answer(source="made up", asked_at=now, valid_for=HOUR, latest=Point(now, step))


def follow(provider: Provider, done: asyncio.Event, questions: list[Question]) -> tuple[Followers, list[str]]:
    changes: list[str] = []
    followers = Followers(lambda _: provider, lambda: changes.append("x"), "a provider")

    async def play() -> None:
        followers.want(questions)
        task = asyncio.create_task(followers.run())
        async with asyncio.timeout(10):
            await done.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())
    return followers, changes


def test_only_news_wakes_the_loop_and_failures_are_survived() -> None:
    provider = Scripted(
        100.0, 100.0, UnreachableError("gone"), UnreachableError("gone"), ValueError("token=abc"), 200.0
    )
    question = question_of(zone())
    assert question is not None
    followers, changes = follow(provider, provider.done, [question])
    known = followers.known(question)
    assert known.answer is not None
    assert known.answer.latest is not None
    assert (known.answer.latest.grams_per_kwh, known.problem) == (200.0, "")
    assert len(changes) == 4  # 100, gone, failed, 200


def test_a_failure_of_no_known_kind_is_told_by_its_name_only() -> None:
    provider = Scripted(ValueError("token=abc"))
    question = question_of(zone())
    assert question is not None
    followers, _ = follow(provider, provider.done, [question])
    assert followers.known(question).problem == "it failed (ValueError)"


def test_a_provider_is_left_alone_for_as_long_as_it_asks() -> None:
    provider = Scripted(StatusError(429, "slow down", retry_after_seconds=0.5))
    question = question_of(zone())
    assert question is not None
    follow(provider, provider.done, [question])
    assert provider.asked[1] - provider.asked[0] >= 0.49


def test_a_provider_that_fails_is_held_then_replaced_and_a_restart_goes_on_from_the_status() -> None:
    answers: list[Answer | Exception] = []

    class Next:
        interval_seconds = 0.001

        async def ask(self, now: datetime) -> Answer:
            del now
            answer = answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

    record = zone_record({**zone().model_dump(by_alias=True, mode="json", exclude_none=True), "metadata": {"name": "west", "uid": "z"}})  # fmt: skip

    async def play() -> None:
        changed = asyncio.Event()
        followers = Followers(lambda _: Next(), changed.set, "a provider")
        signals = GridSignals(None, followers, hold_seconds=3600)  # type: ignore[arg-type]  # no ConfigMap is read
        status = {
            "gramsPerKilowattHour": 90.0,
            "observedAt": "2026-03-06T19:10:00Z",
            "conditions": [
                {
                    "type": "Fresh",
                    "status": "True",
                    "reason": "Provider",
                    "lastTransitionTime": "2026-03-06T19:10:00Z",
                }
            ],
        }
        await signals.poll([record])
        held = signals.readings([record], NOW, {"west": status})["west"]
        assert (held.grams_per_kwh, held.freshness) == (90.0, Freshness.HELD)
        answers[:] = [
            Answer(source="made up", asked_at=NOW, valid_for=timedelta(minutes=3), latest=Point(NOW, 120.0))
        ]
        task = asyncio.create_task(followers.run())
        await changed.wait()
        told = signals.readings([record], NOW, {})["west"]
        assert (told.grams_per_kwh, told.freshness, told.stale) == (120.0, Freshness.PROVIDER, False)
        answers[:] = [UnreachableError("it is gone")]
        changed.clear()
        await changed.wait()
        still = signals.readings([record], NOW + timedelta(minutes=1), {})["west"]
        assert (still.stale, "it is gone" in still.message) == (False, True)
        held = signals.readings([record], NOW + timedelta(minutes=10), {})["west"]
        assert (held.grams_per_kwh, held.freshness) == (120.0, Freshness.HELD)
        assert "it is gone" in held.message
        fallback = signals.readings([record], NOW + 2 * HOUR, {})["west"]
        assert (fallback.grams_per_kwh, fallback.freshness) == (480.0, Freshness.FALLBACK)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())


def test_a_forecast_reaches_schedules_and_held_jobs_while_it_is_fresh() -> None:
    series = IntensitySeries(times=(WHOLE, WHOLE + HOUR, WHOLE + 2 * HOUR), grams_per_kwh=(90.0, 80.0, 70.0))

    class Forecasting:
        interval_seconds = 60.0

        async def ask(self, now: datetime) -> Answer:
            del now
            return Answer(source="made up", asked_at=NOW, valid_for=HOUR, series=series)

    body = zone().model_dump(by_alias=True, mode="json", exclude_none=True)
    record = zone_record({**body, "metadata": {"name": "west", "uid": "z"}})

    async def play() -> None:
        changed = asyncio.Event()
        followers = Followers(lambda _: Forecasting(), changed.set, "a provider")
        signals = GridSignals(None, followers, hold_seconds=3600)  # type: ignore[arg-type]  # no ConfigMap is read
        await signals.poll([record])
        task = asyncio.create_task(followers.run())
        await changed.wait()
        reading = signals.readings([record], NOW, {})["west"]
        assert (reading.grams_per_kwh, reading.next_step) == (90.0, WHOLE + HOUR)
        assert signals.series([record]) == {"west": (series, False)}
        late = signals.readings([record], NOW + HOUR, {})["west"]
        assert late.stale
        assert signals.series([record]) == {}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())
