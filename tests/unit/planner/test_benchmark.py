"""The benchmark's machinery on instances of a few options; what it measures is not looked at."""

import json
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

FOLDER = Path(__file__).parents[3] / "benchmarks" / "planner"


@pytest.fixture(autouse=True)
def _benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_figures_are_one_json_object_with_a_gap_and_a_time_for_every_instance() -> None:
    from generator import roofline
    from suite import Case, run

    case = Case("tiny", partial(roofline, 5, 4, 4), (1,), rivals=False)
    figures = json.loads(json.dumps(run([case], (5, 4, 4), 1.0, Console(width=100, quiet=True))))
    (plan,) = figures["plans"]
    assert plan["ours"]["gap_over_lp"] >= 0
    assert plan["ours"]["unserved"] == 0
    assert plan["ours"]["peak_mb"] > 0
    assert 0 <= plan["best_bound_over_lp"] <= plan["ours"]["gap_over_lp"]
    assert figures["tick"]["worst_gap_over_lp"] >= 0


@pytest.mark.parametrize("solver", ["HIGHS", "GSCIP"])
@pytest.mark.parametrize("tight", [True, False])
def test_rivals_solve_the_same_problem(solver: str, tight: bool) -> None:
    from generator import roofline
    from rivals import by_mathopt

    from ecoserve.planner.solver import solve

    instance = roofline(6, 4, 4, spread=0.3, most_nodes=4)
    ours = solve(instance)
    theirs = by_mathopt(solver, instance, gap=1e-6, limit_seconds=10.0, tight=tight)
    assert theirs.objective is not None
    assert ours.bounds.lp * (1 - 1e-6) <= theirs.objective
    assert ours.lower_bound <= theirs.objective * (1 + 1e-6)
    assert theirs.bound is not None
    assert ours.bounds.lp * (1 - 0.05) <= theirs.bound <= ours.objective * (1 + 1e-6)
    assert ours.objective <= theirs.objective * (1 + instance.spec.relative_gap) + 1e-6
