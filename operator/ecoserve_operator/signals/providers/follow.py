"""Asks providers in the background, each in a task of its own, so that none can keep the loop waiting.

Each is asked at its own interval. After a failure it is asked again later and later, with jitter, and never before the
time that it named. What was last told is kept; whoever reads it judges its age.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from ecoserve_operator.signals.providers.port import Provider, ProviderError, StatusError, ToldT

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 5.0
_LEAST_LONGEST_RETRY_SECONDS = 30.0
_JITTER = 0.1

QuestionT = TypeVar("QuestionT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Known(Generic[ToldT]):
    """What a provider told last, and why it has told nothing since, if so; `asked` is whether it was asked at all."""

    answer: ToldT | None = None
    problem: str = "it has not been asked yet"
    asked: bool = False


class Followers(Generic[QuestionT, ToldT]):
    """Follows what is wanted; `changed` is called whenever more or something else is known.

    `what` names in the log what is asked.
    """

    def __init__(
        self, build: Callable[[QuestionT], Provider[ToldT]], changed: Callable[[], None], what: str
    ) -> None:
        self._build = build
        self._changed = changed
        self._what = what
        self._wanted: frozenset[QuestionT] = frozenset()
        self._known: dict[QuestionT, Known[ToldT]] = {}
        self._event = asyncio.Event()

    def want(self, questions: Iterable[QuestionT]) -> None:
        """Follow these, and no others."""
        wanted = frozenset(questions)
        if wanted != self._wanted:
            self._wanted = wanted
            self._event.set()

    def known(self, question: QuestionT) -> Known[ToldT]:
        """What is known now."""
        return self._known.get(question, Known())

    async def run(self) -> None:
        """Ask for ever."""
        tasks: dict[QuestionT, asyncio.Task[None]] = {}
        try:
            while True:
                await self._event.wait()
                self._event.clear()
                for question in tasks.keys() - self._wanted:
                    tasks.pop(question).cancel()
                    self._known.pop(question, None)
                for question in self._wanted - tasks.keys():
                    tasks[question] = asyncio.create_task(self._follow(question))
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _follow(self, question: QuestionT) -> None:
        provider = self._build(question)
        interval = provider.interval_seconds
        back_off = wait_random_exponential(
            min=min(_FIRST_RETRY_SECONDS, interval),
            multiplier=min(_FIRST_RETRY_SECONDS, interval),
            max=max(_LEAST_LONGEST_RETRY_SECONDS, interval),
        )

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            asked_for = error.retry_after_seconds if isinstance(error, StatusError) else 0.0
            return max(asked_for, back_off(state))

        def failed(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            self._fail(question, error)

        async def ask() -> ToldT:
            return await provider.ask(datetime.now(UTC))

        while True:
            retrying = AsyncRetrying(retry=retry_if_exception_type(Exception), wait=wait, before_sleep=failed)
            answer: ToldT = await retrying(ask)
            self._learn(question, Known(answer, "", asked=True))
            await asyncio.sleep(interval * random.uniform(1.0, 1.0 + _JITTER))  # noqa: S311 - spreads requests, guards nothing

    def _fail(self, question: QuestionT, error: BaseException | None) -> None:
        # only our own errors have words that are fit to be shown
        problem = str(error) if isinstance(error, ProviderError) else f"it failed ({type(error).__name__})"
        if problem != self.known(question).problem:
            logger.warning("%s: %s", self._what, problem)
        self._learn(question, replace(self.known(question), problem=problem, asked=True))

    def _learn(self, question: QuestionT, known: Known[ToldT]) -> None:
        before = self._known.get(question)
        self._known[question] = known
        if before is None or _news(before) != _news(known):
            self._changed()


def _news(known: Known[ToldT]) -> tuple[object, ...]:
    """What of it makes another plan or status."""
    return (known.problem,) if known.answer is None else (known.problem, known.answer.news)
