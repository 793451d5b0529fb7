"""Strata: the long run of the coarse replica, and that what is weighed by it is near the long run of the real one."""

import numpy as np
import pytest

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, Role
from ecoserve.performance.lockstep import Lanes, run_lanes
from ecoserve.performance.step_table import step_table
from ecoserve.performance.steps import engine_steps
from ecoserve.performance.strata import Weighing, strata_of
from ecoserve.performance.streams import arrivals
from ecoserve.performance.work import work_of

CATALOG = load_catalog()
TOKENS = (500, 100)


def engine(role: Role) -> Engine:
    return Engine(
        model=CATALOG.model("meta-llama/Llama-3.1-8B-Instruct"),
        precision="bf16",
        instance=CATALOG.instance("p5.48xlarge"),
        role=role,
    )


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_a_long_stream_spends_in_each_stratum_what_the_law_says(role, cv):
    work = work_of(engine_steps(engine(role)), role, *TOKENS)
    strata = strata_of(work, 0.6 * work.saturation, cv, memory=40.0)
    gaps = np.random.default_rng(1).gamma(1 / cv**2, cv**2, (200, 3000))
    met = np.bincount(strata.of(gaps, 500, 2000).ravel(), minlength=len(strata.often)) / 400_000
    assert strata.often.sum() == pytest.approx(1.0)
    assert met == pytest.approx(strata.often, abs=0.015)


def test_weighing_takes_away_most_of_what_chance_does_to_a_share():
    of = engine(Role.BOTH)
    steps = engine_steps(of)
    work = work_of(steps, of.role, *TOKENS)
    rate, before, each = 0.7 * work.saturation, 300, 700
    table = step_table(steps, of.role, *TOKENS)
    strata = strata_of(work, rate, 1.0, memory=100.0)
    gaps = np.random.default_rng(2).exponential(1.0, (240, before + each + 200))
    [(first, finish)] = run_lanes(
        [Lanes(table=table, arrivals=arrivals(gaps, rate), residents=0, counted=before + each)]
    )
    tpot = (finish - first)[:, before : before + each]
    met = tpot <= np.median(tpot)
    place = strata.of(gaps, before, each)
    groups = [slice(start, start + 12) for start in range(0, 240, 12)]
    plain = np.array([met[group].mean() for group in groups])
    shares, errors = np.array([Weighing(place[group], strata.often).share(met[group]) for group in groups]).T
    assert shares.std() < 0.6 * plain.std()
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert np.sqrt((errors**2).mean()) == pytest.approx(shares.std(), rel=0.5)


def test_strata_without_requests_are_left_out():
    met = np.array([[True, False], [True, True]])
    share, _ = Weighing(np.array([[0, 1], [0, 1]]), np.array([0.6, 0.2, 0.2])).share(met)
    assert share == pytest.approx(0.75 * 1.0 + 0.25 * 0.5)
