"""What has been emitted and saved since a time: rates summed up with the intensity of each moment.

Between two passes rates stand: every step of an intensity brings a pass. A design point's plan is computed now and
then; here its power by zone is taken, so that it, too, is counted at the intensity of the moment. Time counts
where both sides are known, and where an operator acts: what runs while none does is counted by nobody. The sums stand in
statuses, from which the next leader goes on.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from ecoserve.api.accounts import Account, AccountAgainst
from ecoserve.api.llmserving import Objective
from ecoserve.errors import InvalidInputError
from ecoserve.times import parse_utc, written_utc
from ecoserve_operator.planning.emission import Emission

logger = logging.getLogger(__name__)

WHOLE = ""
"""The name under which the fleet's own account is kept: it holds servings that have gone, too."""
PLANNED = "planned"
"""What was carried out, beside the objectives' names."""
_HOUR = timedelta(hours=1)
_DIGITS = 3

Rates = Mapping[str, float]
"""gCO2e/h by `PLANNED` and objective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Grams since a time, by `PLANNED` and objective."""

    since: datetime
    grams: Mapping[str, float]

    def plus(self, grams: Mapping[str, float]) -> "Sums":
        """Return the sums with these added."""
        names = self.grams.keys() | grams.keys()
        total = {name: self.grams.get(name, 0.0) + grams.get(name, 0.0) for name in sorted(names)}
        return replace(self, grams=total)


class Accounts:
    """The sums of the fleet and of each serving (`namespace/name`); `counted` is told what is added, as it is."""

    def __init__(self, counted: Callable[[str, str, float], None]) -> None:
        self._counted = counted
        self._sums: dict[str, Sums] = {}
        self._rates: dict[str, Rates] = {}
        self._as_of: datetime | None = None

    def restore(self, name: str, status: Mapping[str, Any]) -> None:
        """Go on from what a status tells, where nothing is known of its name yet."""
        if name in self._sums or "account" not in status:
            return
        try:
            told = Account.model_validate(status["account"])
            since = parse_utc(told.since, "since")
        except (ValidationError, InvalidInputError) as error:
            logger.warning("the account of %s can't be read, and begins anew: %s", name or "the fleet", error)
            return
        against: dict[str, float] = {point.objective: point.grams for point in told.against}
        grams = {PLANNED: told.grams, **against}
        self._sums[name] = Sums(since=since, grams=grams)
        self._tell(name, grams)

    def accrue(
        self,
        now: datetime,
        placed: Mapping[str, Emission],
        points: Mapping[str, Mapping[Objective, Emission]],
        intensities: Mapping[str, float],
    ) -> None:
        """Count the time since the last call at the rates of then, and take down those of now."""
        if self._as_of is not None and now > self._as_of:
            hours = (now - self._as_of) / _HOUR
            for name, rates in self._rates.items():
                grams = {key: rate * hours for key, rate in rates.items()}
                for account in (WHOLE, name):
                    sums = self._sums.get(account) or Sums(since=self._as_of, grams={})
                    self._sums[account] = sums.plus(grams)
                    self._tell(account, grams)
        self._as_of = now
        self._rates = {
            name: {
                PLANNED: emission.grams_per_hour(intensities),
                **{goal.value: point.grams_per_hour(intensities) for goal, point in points[name].items()},
            }
            for name, emission in placed.items()
            if name in points
        }

    def forget(self, name: str) -> None:
        """Drop the account of a serving that has gone; the fleet's keeps what it did."""
        self._sums.pop(name, None)

    @property
    def rates(self) -> Rates:
        """gCO2e/h of all servings together, at present."""
        total: dict[str, float] = {}
        for rates in self._rates.values():
            for name, rate in rates.items():
                total[name] = total.get(name, 0.0) + rate
        return total

    @property
    def names(self) -> frozenset[str]:
        """The servings that have an account."""
        return frozenset(self._sums) - {WHOLE}

    def account(self, name: str) -> Account | None:
        """The account of a serving or of the whole, for a status."""
        sums = self._sums.get(name)
        if sums is None or self._as_of is None:
            return None
        planned = sums.grams.get(PLANNED, 0.0)
        return Account(
            since=written_utc(sums.since),
            as_of=written_utc(self._as_of),
            grams=round(planned, _DIGITS),
            against=tuple(
                AccountAgainst(
                    objective=goal.value,
                    grams=round(sums.grams[goal.value], _DIGITS),
                    saved_grams=round(sums.grams[goal.value] - planned, _DIGITS),
                )
                for goal in Objective
                if goal.value in sums.grams
            ),
        )

    def _tell(self, name: str, grams: Mapping[str, float]) -> None:
        for placement, amount in grams.items():
            self._counted(name, placement, amount)
