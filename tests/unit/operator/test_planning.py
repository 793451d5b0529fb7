"""What is taken from a plan, hysteresis, and what planners remember."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ecoserve.carbon import MarginalIntensity
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.assemble import with_intensity
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import count_capacities
from ecoserve.planner import learning
from ecoserve.planner.learning import Learner
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.workload.lengths import single_length
from ecoserve_operator.planning.calls import (
    compare_objectives,
    learn_capacities,
    new_capacities,
)
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.decision import Choice, Taken, choose, hold, missing_pool
from ecoserve_operator.planning.emission import emissions
from ecoserve_operator.planning.process import PlannerProcess
from ecoserve_operator.planning.session import PlanningSession, Route, same_replicas
from ecoserve_operator.planning.snapshot import same_question
from ecoserve_operator.settings import Settings
from ecoserve_operator.watch.records import DeploymentRecord
from unit.operator.asked import snapshot

LIMITS = Settings().hysteresis
HOUR = timedelta(hours=1)
FROZEN = replace(LIMITS, fraction=10.0, at_once_fraction=10.0)
EAGER = replace(LIMITS, fraction=0.0, at_once_fraction=0.0)


def held_by(plan: Plan) -> dict[str, int]:
    return {item.configuration: item.replicas for item in plan.placements}


def running(plan: Plan) -> dict[str, list[DeploymentRecord]]:
    made = [
        DeploymentRecord(
            namespace="n",
            name=item.pool,
            uid=item.pool,
            owner_uid="u",
            pool=item.pool,
            configuration=item.configuration,
            replicas=item.replicas,
            ready=item.replicas,
            settled=True,
            digest="",
        )
        for item in plan.placements
    ]
    return {"n/chat": made}


def planned(asked: Snapshot) -> Plan:
    """The plan of a process that remembers nothing."""
    return PlanningSession().answer(asked, LIMITS).plan


def test_held_replicas_stay_while_the_best_is_hardly_better() -> None:
    first = planned(snapshot(west=300.0, east=302.0))
    assert {item.pool for item in first.placements} == {"g6-48xlarge.west"}
    turned = replace(snapshot(west=301.0, east=300.0), held=held_by(first))
    kept = planned(turned)
    assert same_replicas(kept, turned.held)
    west = next(zone for zone in kept.zones if zone.name == "west")
    assert west.carbon_intensity == 301.0, "what stays is told at the present intensity"


def test_what_hysteresis_keeps_is_told_at_the_prices_of_replicas_that_may_change() -> None:
    turned = snapshot(west=500.0, east=100.0)
    held = replace(turned, held=held_by(planned(snapshot(west=300.0, east=302.0))))
    marginals = []
    for limits in (FROZEN, EAGER):
        session = PlanningSession()
        answer = session.answer(held, limits)
        kept = same_replicas(answer.plan, held.held)
        assert (answer.route is Route.KEPT, kept) == (limits is FROZEN, limits is FROZEN)
        whole = session.explained()
        assert whole is not None
        assert whole.explanation is not None
        marginals.append(whole.explanation.servings[0].marginal)
    assert marginals[0] == marginals[1]


def test_held_replicas_go_when_the_best_is_clearly_better() -> None:
    first = planned(snapshot(west=300.0, east=310.0))
    turned = replace(snapshot(west=600.0, east=30.0), held=held_by(first))
    assert {item.pool for item in planned(turned).placements} == {"g6-48xlarge.east"}


def test_held_replicas_go_when_they_no_longer_can_be() -> None:
    first = planned(snapshot(west=100.0))
    left = replace(snapshot(zones=("east",)), held=held_by(first))
    answer = PlanningSession().answer(left, FROZEN)
    assert {item.pool for item in answer.plan.placements} == {"g6-48xlarge.east"}


def test_an_unmet_serving_keeps_what_runs_while_its_pools_are_there() -> None:
    good = snapshot()
    plan = make_plan(good)
    last = choose(plan, {}, {}, good)
    assert last["n/chat"].taken is Taken.PLAN
    bad = snapshot(ttft="1ms")
    choice = choose(make_plan(bad), last, running(plan), bad)["n/chat"]
    assert choice.taken is Taken.HELD
    assert choice.placements == last["n/chat"].placements
    assert choice.reason == "NoHardwareFits"
    assert "slice n/chat/online/512x128" in choice.problem


def test_an_unmet_serving_takes_part_of_a_plan_when_its_pools_are_gone_or_nothing_runs() -> None:
    plan = make_plan(snapshot(west=100.0))
    last = choose(plan, {}, {}, snapshot())
    bad = snapshot(ttft="1ms", zones=("east",))
    assert choose(make_plan(bad), last, running(plan), bad)["n/chat"].taken is Taken.PART
    assert choose(make_plan(bad), {}, {}, bad)["n/chat"].taken is Taken.PART


def test_no_nodes_is_told() -> None:
    empty = snapshot(zones=())
    choice = choose(make_plan(empty), {}, {}, empty)["n/chat"]
    assert choice.reason == "NoNodes"
    assert choice.problem


def test_zones_of_both_signals_are_no_question_to_plan_even_where_replicas_run() -> None:
    session, asked = PlanningSession(), snapshot()
    first = session.answer(asked, LIMITS).plan
    west = asked.zone("west")
    marginal = replace(west, intensity=MarginalIntensity(grams_per_kwh=west.carbon_intensity))
    mixed = replace(
        asked,
        zones=tuple(marginal if zone.name == "west" else zone for zone in asked.zones),
        held=held_by(first),
    )
    with pytest.raises(InvalidInputError, match="average in east and marginal in west"):
        session.answer(mixed, 0.01)


def test_a_plan_is_no_longer_valid_once_a_pool_of_it_has_gone() -> None:
    whole = snapshot(west=100.0)
    choices = choose(make_plan(whole), {}, {}, whole).values()
    assert missing_pool(choices, whole) is None
    assert missing_pool(choices, snapshot(zones=("east",))) == "g6-48xlarge.west"
    held = [hold(choice, choice.serving, "PlannerFailed", "it failed") for choice in choices]
    assert missing_pool(held, snapshot(zones=("east",))) is None


def test_holding_nothing_is_no_placement() -> None:
    assert hold(None, "n/chat", "InvalidSpec", "bad") == Choice(
        serving="n/chat", taken=Taken.HELD, placements=(), reason="InvalidSpec", problem="bad"
    )


def test_a_later_snapshot_of_the_same_world_is_the_same_question() -> None:
    one = snapshot()
    assert same_question(one, replace(snapshot(), taken_at=datetime(2024, 7, 2, tzinfo=UTC), held={"c": 1}))
    assert not same_question(one, with_intensity(one, {"west": 301.0}))


def test_the_carbon_plan_is_compared_with_the_others_on_the_same_snapshot() -> None:
    plan = make_plan(snapshot(west=100.0))
    found = compare_objectives(snapshot(west=100.0), plan)
    grams = {point.objective.value: point.grams_per_hour for point in found.by_serving["n/chat"]}
    assert grams["carbon"] == min(grams.values())
    assert found.saved_percent["n/chat"] >= 0
    assert {item.lever for item in found.levers} == {"reduce", "reuse", "rightsize", "recycle"}
    assert all(item.grams_per_hour >= 0 for item in found.levers)
    assert found.levers_by_serving["n/chat"] == found.levers


def test_emissions_are_those_of_the_plan_at_its_intensity_and_follow_it_to_another() -> None:
    plan = make_plan(snapshot(west=100.0))
    found = emissions(plan.placements, snapshot())["n/chat"]
    at = {zone.name: zone.carbon_intensity for zone in plan.zones}
    assert found.grams_per_hour(at) == pytest.approx(plan.grams_per_hour)
    doubled = {zone: 2 * grams for zone, grams in at.items()}
    assert found.grams_per_hour(doubled) == pytest.approx(
        2 * plan.operational_grams_per_hour + plan.embodied_grams_per_hour
    )


def test_what_one_process_found_about_replicas_is_known_to_the_next() -> None:
    async def run() -> list[int]:
        capacities, known = Capacities(), []
        for _ in range(2):
            process = PlannerProcess(60.0)
            known.append(await process.call(count_capacities))
            await capacities.learn(process, snapshot())
            known.append(await process.call(count_capacities))
            assert await process.call(learn_capacities, snapshot(west=5.0))
            assert await process.call(new_capacities) == {}
            await process.close()
        return known

    nothing, learned, again, handed_over = asyncio.run(run())
    assert (nothing, again) == (0, 0)
    assert learned == handed_over > 0


def servings(count: int, tokens: float) -> Snapshot:
    """So many servings, each with requests of another length."""
    one = snapshot()
    (serving,) = one.servings
    assert serving.online is not None
    made = []
    for number in range(count):
        online = replace(serving.online, buckets=single_length(tokens + number, 100))
        made.append(replace(serving, name=f"n/{number}", online=online))
    return replace(one, servings=tuple(made))


def test_capacities_are_learned_in_pieces() -> None:
    learner, many = Learner(), servings(5, 300)
    assert not learner.learn(many, 0.0)
    assert learner.learn(many, 60.0)
    assert learner.learn(servings(1, 300), 0.0)


def test_a_piece_is_of_as_many_servings_as_the_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is a second later at each look, a piece of any size takes a second."""
    monkeypatch.setattr(learning, "monotonic", itertools.count().__next__)
    learner, four, twelve = Learner(), servings(4, 400), servings(12, 500)
    assert learner.learn(four, 1.5)
    assert learner.learn(four, 1.5)
    assert not learner.learn(twelve, 1.5), "eight may be tried, and not more for what was known already"
    assert learner.learn(twelve, 1.5), "twice as many, as the piece before took less"
    assert not Learner().learn(twelve, 1.5)
    assert learner.learn(twelve, 0.5)
    assert not learner.learn(twelve, 0.5), "half as many, as the piece before took longer"


def test_a_replica_leaves_a_zone_that_turned_though_a_single_one_is_far_above_any_bound() -> None:
    session, first = PlanningSession(), snapshot(west=40.0, east=600.0)
    planned = session.answer(first, LIMITS).plan
    assert {item.pool for item in planned.placements} == {"g6-48xlarge.west"}
    held = {item.configuration: item.replicas for item in planned.placements}
    turned = replace(snapshot(west=700.0, east=600.0), held=held)
    answer = session.answer(turned, LIMITS)
    assert {item.pool for item in answer.plan.placements} == {"g6-48xlarge.east"}
