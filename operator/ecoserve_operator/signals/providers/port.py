"""The port that every provider implements, what it answers, and how it fails."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from ecoserve.carbon import Accounting, IntensitySeries
from ecoserve.errors import EcoserveError


class ProviderError(EcoserveError):
    """A provider gave no usable answer. The message never holds a key, nor text of the provider's."""


class UnreachableError(ProviderError):
    """No whole answer came in time."""


class KeyProblemError(ProviderError):
    """A key is missing or malformed (`status` 0), or refused (401 or 403)."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class StatusError(ProviderError):
    """The provider answered with an error; `retry_after_seconds` is what it asked to be left alone for."""

    def __init__(self, status: int, message: str, retry_after_seconds: float = 0.0) -> None:
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class BadReplyError(ProviderError):
    """The provider answered with something that is no intensity we can trust."""


@dataclass(frozen=True, slots=True)
class Point:
    """An intensity in gCO2e/kWh that holds from a time (UTC) on."""

    time: datetime
    grams_per_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider told.

    `latest` is its value of now; where it is None, the series tells it. `series` is history and forecast as far as
    they go without a gap. Either may be used for `valid_for`, from its time or from `asked_at`: a provider that
    misses a turn has not made its hourly figure wrong. `source` names provider and place, for people.
    """

    source: str
    asked_at: datetime
    valid_for: timedelta
    latest: Point | None = None
    series: IntensitySeries | None = None
    accounting: Accounting = Accounting.UNSTATED

    @property
    def news(self) -> object:
        """What of it makes another plan or status; that the same was told again does not."""
        return (None if self.latest is None else self.latest.grams_per_kwh, self.series)


class Told(Protocol):
    """What a provider of any kind answers."""

    @property
    def news(self) -> object:
        """What of it is worth a look: while this is equal, nothing new was told."""


ToldT = TypeVar("ToldT", bound=Told)
AnswerT_co = TypeVar("AnswerT_co", bound=Told, covariant=True)


class Provider(Protocol[AnswerT_co]):
    """One place's intensity at one provider, or one stream's load."""

    @property
    def interval_seconds(self) -> float:
        """How often it is worth asking, and allowed."""

    async def ask(self, now: datetime) -> AnswerT_co:
        """Ask anew; raises ProviderError."""
