"""Recycle: lifetimes of hosts and accelerators by themselves, against all together."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import Lifetimes
from ecoserve.catalog import load_catalog
from ecoserve.fleet.nodes import Resources
from ecoserve.fleet.pools import Pool
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.recycle import effective_lifetimes
from ecoserve.planner.supply import footprint_of

TODAY = date(2026, 6, 1)
TOGETHER = ALL_LEVERS - {Lever.RECYCLE}


def pool(
    sku: str = "p5.48xlarge", installed: str | None = None, host: float = 4.0, cards: float = 4.0
) -> Pool:
    return Pool(
        name="p",
        zone="z",
        instance=load_catalog().instance(sku),
        supply="scalable",
        installed=installed,
        lifetimes=Lifetimes(host_years=host, accelerator_years=cards),
        node_names=("n",),
        node_resources=Resources(gpu=8, cpu=96, memory_gib=900),
        selector=(),
    )


@pytest.mark.parametrize(
    ("installed", "host", "cards", "apart", "together"),
    [
        (None, 4.0, 4.0, (4.0, 4.0), 4.0),
        (None, 10.0, 3.0, (10.0, 3.0), 3.0),
        (None, 10.0, 6.0, (10.0, 6.0), 4.0),
        ("2020-06-01", 4.0, 3.0, (6.0, 6.0), 3.0),
        ("2020-06-01", 10.0, 3.0, (10.0, 6.0), 3.0),
    ],
    ids=["default", "paper", "long", "aged", "aged accelerators"],
)
def test_years_over_which_hardware_counts(
    installed: str | None, host: float, cards: float, apart: tuple[float, float], together: float
) -> None:
    own = pool(installed=installed, host=host, cards=cards)
    found = effective_lifetimes(own, TODAY, ALL_LEVERS)
    assert (found.host_years, found.accelerator_years) == pytest.approx(apart, abs=0.01)
    joint = effective_lifetimes(own, TODAY, TOGETHER)
    assert (joint.host_years, joint.accelerator_years) == (together, together)


def test_hosts_without_accelerators_are_not_due_with_any() -> None:
    own = pool("m7i.48xlarge", host=3.5, cards=1.0)
    assert effective_lifetimes(own, TODAY, TOGETHER).host_years == 3.5


@given(
    st.floats(0.5, 15), st.floats(0.5, 15), st.sampled_from([None, "2012-01-01", "2023-01-01", "2026-05-01"])
)
def test_apart_never_counts_more_than_together(host: float, cards: float, installed: str | None) -> None:
    for sku in ("p5.48xlarge", "m7i.48xlarge"):
        own = pool(sku, installed, host, cards)
        apart, together = (footprint_of(own, TODAY, levers) for levers in (ALL_LEVERS, TOGETHER))
        assert apart.embodied_grams_per_hour <= together.embodied_grams_per_hour * (1 + 1e-12)


def test_old_hardware_gets_cheaper_without_ever_being_free() -> None:
    years = [date(year, 1, 1) for year in range(2021, 2040)]
    own = replace(pool(), installed="2020-01-01")
    grams = [footprint_of(own, today, ALL_LEVERS).embodied_grams_per_hour for today in years]
    assert grams == sorted(grams, reverse=True)
    assert grams[-1] > 0
