"""Whether a decision hangs on figures nobody knows well."""

from collections.abc import Callable
from typing import Any

import pytest

from ecoserve.carbon import coefficient_sets
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.sweep import LIFETIMES, coefficient_cases, lifetime_cases, replicas, sweep

SnapshotOf = Callable[..., Snapshot]


@pytest.fixture
def rivals(snapshot_of: SnapshotOf, serving_of: Any, nodes_of: Any) -> Snapshot:
    """Return H100 nodes of two clouds: one with 30 TB of SSD, one whose processors idle higher."""
    return snapshot_of([serving_of()], [*nodes_of("p5.48xlarge", 1), *nodes_of("a3-highgpu-8g", 1)])


def test_a_set_that_weighs_disks_more_changes_the_decision_and_the_regret_says_by_how_much(rivals):
    found = sweep(rivals, coefficient_cases(rivals), over="coefficients")
    by_name = {item.name: item for item in found.outcomes}
    assert list(by_name) == list(coefficient_sets())
    same, changed = by_name["ecoserve"], by_name["ecoserve-2025"]
    assert same.keeps
    assert same.regret_grams_per_hour == 0
    assert not changed.keeps
    assert changed in found.changes
    assert changed.plan is not None
    assert changed.kept is not None
    assert changed.kept.grams_per_hour - changed.plan.grams_per_hour == changed.regret_grams_per_hour
    assert replicas(changed.kept) == replicas(found.plan)


def test_no_case_is_better_off_with_the_decision_in_use(rivals):
    for cases in (coefficient_cases(rivals), lifetime_cases(rivals)):
        for item in sweep(rivals, cases, over="x").outcomes:
            assert item.plan is not None
            assert item.kept is not None
            assert item.plan.grams_per_hour <= item.kept.grams_per_hour
            assert item.regret_share >= 0


def test_longer_lifetimes_embody_less_per_hour(rivals):
    plans = {item.name: item.kept for item in sweep(rivals, lifetime_cases(rivals), over="lifetime").outcomes}
    assert list(plans) == list(LIFETIMES)
    embodied = [plan.embodied_grams_per_hour for plan in list(plans.values())[:4] if plan is not None]
    assert embodied == sorted(embodied, reverse=True)
    assert len(set(embodied)) == 4


def test_a_set_without_a_figure_is_a_gap_with_its_reason(snapshot_of, serving_of, nodes_of):
    snapshot = snapshot_of([serving_of()], nodes_of("g5.xlarge", 4))
    found = sweep(snapshot, coefficient_cases(snapshot), over="coefficients")
    gap = next(item for item in found.outcomes if item.name == "boavizta")
    assert gap.plan is None
    assert "a10g" in gap.reason
    assert not gap.keeps
    assert gap not in found.changes
