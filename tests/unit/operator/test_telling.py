"""How much of what is new each pass writes: statuses of servings and their events."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from ecoserve_operator.kube import EVENT, LLM_SERVING, ApiRefusedError, Kind
from ecoserve_operator.planning.decision import Choice
from ecoserve_operator.reporting import allowance
from ecoserve_operator.reporting.allowance import FIGURES_A_MINUTE, Allowance, FigureRate
from ecoserve_operator.reporting.conditions import Aspect, Reason
from ecoserve_operator.reporting.reporter import Reporter
from ecoserve_operator.reporting.status import (
    ServingFacts,
)
from ecoserve_operator.watch.world import Nudges, World
from unit.operator.told import ChoiceOf, facts_of, record, verdict


class _Api:
    """The part of KubeApi that tells of servings: whose statuses were written, and what events said."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.told: list[str] = []
        self.reasons: list[str] = []
        self._refuses = refuses

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], *, subresource: str) -> None:
        assert (kind, subresource) == (LLM_SERVING, "status")
        if self._refuses:
            raise ApiRefusedError(403, "the namespace is frozen")
        self.told.append(manifest["metadata"]["name"])

    async def create(self, kind: Kind, event: Mapping[str, Any]) -> None:
        assert kind is EVENT
        self.reasons.append(event["reason"])


def a_reporter(api: _Api) -> Reporter:
    return Reporter(api, World(nudges=Nudges(0.0)), "system")  # type: ignore[arg-type]  # a fake of two methods


def told_of(*facts: tuple[ServingFacts, bool]) -> _Api:
    """What is written of one serving, told of in pass after pass, each while replicas are awaited or not."""

    async def tell() -> _Api:
        api = _Api()
        telling = a_reporter(api)
        for each, unfinished in facts:
            await telling.report_serving(each, Allowance(unfinished=unfinished))
        return api

    return asyncio.run(tell())


def statuses_for(*told: tuple[Choice, bool]) -> int:
    """How many statuses are written for these choices of one serving, each told while others change or not."""
    return len(told_of(*((facts_of(choice, ready=1), unfinished) for choice, unfinished in told)).told)


def test_what_a_pass_may_not_write_any_more_comes_first_in_the_next(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though there is something new of the first one in each pass."""

    monkeypatch.setattr(allowance, "UNFINISHED_SERVINGS", 2)
    monkeypatch.setattr(allowance, "UNFINISHED_SECONDS", 0.0)

    async def tell() -> tuple[list[str], list[bool]]:
        api, behind = _Api(), []
        telling = a_reporter(api)
        for ready in range(4):
            allowed = Allowance(unfinished=True)
            for mine in telling.longest_waiting(replace(record(), name=name) for name in "abcde"):
                now = facts_of(choice_of(), min(2, ready) if mine.name == "a" else 1)
                await telling.report_serving(replace(now, record=mine), allowed)
            behind.append(allowed.behind)
        return api.told, behind

    assert asyncio.run(tell()) == (list("abcdea"), [True, True, False, False])


def test_statuses_that_are_refused_are_not_tried_again_at_once(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "UNFINISHED_SERVINGS", 1)

    async def tell() -> tuple[bool, bool]:
        telling, allowed = a_reporter(_Api(refuses=True)), Allowance(unfinished=True)
        for name in "ab":
            facts = replace(facts_of(choice_of(), 1), record=replace(record(), name=name))
            await telling.report_serving(facts, allowed)
        return allowed.left_out, allowed.behind

    assert asyncio.run(tell()) == (True, False)


def test_a_change_is_one_status_and_one_event_where_it_is_over_soon(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it takes a while, it is told before, too; and at once where the spec is another than was told of."""

    def facts(replicas: int, *, generation: int = 3, waits: bool = False) -> ServingFacts:
        applied = verdict(Aspect.APPLIED, "False", Reason.PROGRESSING) if waits else verdict(Aspect.APPLIED)
        fresh = verdict(Aspect.CARBON_DATA_FRESH, reason=Reason.MEASURED)
        mine = replace(facts_of(choice_of(replicas=replicas), ready=1), applied=applied, fresh=fresh)
        return replace(mine, record=replace(mine.record, generation=generation))

    first = facts(2, waits=True), True
    api = told_of(first, (facts(2), False))
    assert len(api.told) == 2
    assert api.reasons.count("PlacementChanged") == api.reasons.count("Placed") == 1
    assert "Progressing" not in api.reasons

    quick = ((facts(3, waits=True), True), (facts(3), False))
    both = told_of((facts(2), False), *quick)
    assert len(both.told) == 2
    assert both.reasons[-1] == "PlacementChanged"
    anew = tuple((replace(each, record=replace(each.record, generation=4)), amid) for each, amid in quick)
    assert len(told_of((facts(2), False), *anew).told) == 3
    monkeypatch.setattr(allowance, "UNFINISHED_SECONDS", 0.0)
    assert len(told_of((facts(2), False), *quick).told) == 3


def test_what_was_taken_back_is_told_in_the_pass_that_did_it(choice_of: ChoiceOf) -> None:
    """Though replicas are awaited: the next pass finds nothing to take back."""
    mine = facts_of(choice_of(), ready=1)
    taken_back = replace(mine, applied=verdict(Aspect.APPLIED, "False", Reason.TAKEN_BACK))
    waits = replace(mine, applied=verdict(Aspect.APPLIED, "False", Reason.PROGRESSING))
    api = told_of((mine, False), (taken_back, True), (waits, True), (mine, False))
    assert Reason.TAKEN_BACK in api.reasons
    assert len(api.told) == 3


def test_news_does_not_come_sooner_where_figures_have_waited(choice_of: ChoiceOf) -> None:
    async def tell() -> list[int]:
        now, told, api, first = 0.0, [], _Api(), choice_of()
        telling = Reporter(api, World(nudges=Nudges(0.0)), "system", lambda: now)  # type: ignore[arg-type]  # a fake of two methods
        dearer = tuple(replace(item, operational_grams_per_hour=7.0) for item in first.placements)
        moved = choice_of(replicas=3)
        for choice in (first, replace(first, placements=dearer), moved, moved):
            await telling.report_serving(facts_of(choice, ready=1), Allowance(unfinished=True))
            told.append(len(api.told))
            now += allowance.UNFINISHED_SECONDS
        return told

    assert asyncio.run(tell()) == [1, 1, 1, 2]


def test_a_pass_says_when_a_change_under_way_is_to_be_told(choice_of: ChoiceOf) -> None:
    async def tell() -> list[float]:
        telling, until = a_reporter(_Api()), []
        applied = verdict(Aspect.APPLIED, "False", Reason.PROGRESSING)
        for mine in (facts_of(choice_of(), 1), replace(facts_of(choice_of(), 0), applied=applied)):
            allowed = Allowance(unfinished=True)
            await telling.report_serving(mine, allowed)
            until.append(allowed.until_due)
        return until

    at_rest, changing = asyncio.run(tell())
    assert at_rest == inf
    assert 0 < changing <= allowance.UNFINISHED_SECONDS


def test_figures_of_many_servings_are_written_at_a_steady_rate() -> None:
    now = 0.0
    rate = FigureRate(lambda: now)

    def taken() -> int:
        return sum(rate.take() for _ in range(200))

    assert taken() == FIGURES_A_MINUTE
    now += 30.0
    assert taken() == FIGURES_A_MINUTE // 2
    now += 3600.0
    assert taken() == FIGURES_A_MINUTE


def test_figures_alone_are_not_written_of_all_at_once(choice_of: ChoiceOf) -> None:
    """News is, beside them."""

    async def tell() -> list[str]:
        api = _Api()
        telling = a_reporter(api)
        names = [f"s{number}" for number in range(2 * FIGURES_A_MINUTE)]
        for grams in (100.0, 7.0):
            choice = choice_of()
            placed = tuple(replace(item, operational_grams_per_hour=grams) for item in choice.placements)
            for name in names:
                is_new = grams == 7.0 and name == names[-1]
                mine = facts_of(replace(choice, placements=placed), ready=2 if is_new else 1)
                mine = replace(mine, record=replace(mine.record, name=name))
                await telling.report_serving(mine, Allowance(unfinished=False))
        return api.told[len(names) :]

    told = asyncio.run(tell())
    assert told == [*(f"s{number}" for number in range(FIGURES_A_MINUTE)), f"s{2 * FIGURES_A_MINUTE - 1}"]


def test_figures_wait_until_all_is_calm_but_not_for_ever(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choice_of()
    dearer = tuple(replace(item, operational_grams_per_hour=7.0) for item in first.placements)
    then = replace(first, placements=dearer)
    assert statuses_for((first, True), (then, True), (then, True)) == 1
    assert statuses_for((first, True), (then, True), (then, False), (then, False)) == 2
    monkeypatch.setattr(allowance, "FIGURES_SECONDS", 0.0)
    assert statuses_for((first, True), (then, True), (then, True)) == 2
