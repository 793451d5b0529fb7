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
    met = (
        np.bincount(strata.of(gaps, strata.starts(200), 0, 2000).ravel(), minlength=len(strata.often))
        / 400_000
    )
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
    [(first, finish)] = run_lanes([Lanes(table=table, arrivals=arrivals(gaps, rate), counted=before + each)])
    tpot = (finish - first)[:, before : before + each]
    met = tpot <= np.median(tpot)
    place = strata.of(gaps, strata.starts(240), before, each)
    groups = [slice(start, start + 12) for start in range(0, 240, 12)]
    plain = np.array([met[group].mean() for group in groups])
    weighed = [(Weighing(place[group], strata.often), met[group]) for group in groups]
    shares = np.array([weighing.share(part) for weighing, part in weighed])
    errors = np.array([weighing.error(part) for weighing, part in weighed])
    assert shares.std() < 0.6 * plain.std()
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert np.sqrt((errors**2).mean()) == pytest.approx(shares.std(), rel=0.5)


def test_a_stratum_without_requests_is_like_the_nearest_one():
    met = np.array([[True, False], [True, True]])
    weighing = Weighing(np.array([[0, 1], [0, 1]]), np.array([0.6, 0.2, 0.2]))
    assert weighing.share(met) == pytest.approx(0.6 * 1.0 + 0.4 * 0.5)


def test_a_share_that_rests_on_one_lane_has_an_error_that_says_so():
    stratum = np.zeros((10, 20), np.int64)
    stratum[0] = 1  # a busy time that one lane alone has seen, all of whose requests are late
    error = Weighing(stratum, np.array([0.7, 0.3])).error(stratum == 0)
    assert error > 0.25  # without that lane the share is 1 instead of 0.7
