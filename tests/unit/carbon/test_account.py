"""Accounts of nodes: the published table, and what has to hold whatever the numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import (
    AccountTerms,
    Amortisation,
    AmortisationMethod,
    AverageIntensity,
    Host,
    Lifetimes,
    MarginalIntensity,
    NodeShape,
    PowerModel,
    account_of,
    accounts_by_set,
    coefficient_set,
    coefficient_sets,
    host_of,
)
from ecoserve.catalog import load_catalog
from ecoserve.errors import InvalidInputError

CATALOG = load_catalog()
CARDS = st.sampled_from(sorted(CATALOG.accelerators))
SETS = st.sampled_from(["ecoserve", "ecoserve-2025", "act", "greensku"])
GB = st.floats(0, 1e6)
YEARS = st.floats(0.1, 30)
SHARE = st.floats(0.01, 1)


def node(card="h100-sxm", count=8, dram_gb=2000.0, ssd_gb=22720.0, cpu_watts=350.0) -> NodeShape:
    return NodeShape(
        accelerator=CATALOG.accelerator(card),
        accelerator_count=count,
        host=Host(dram_gb=dram_gb, ssd_gb=ssd_gb),
        cpu_watts=cpu_watts,
    )


@pytest.mark.parametrize(
    ("shape", "coefficients", "gpu", "host", "total", "grams", "kilowatts", "crossover"),
    [
        (node(), "ecoserve", 103.0, 1083.7, 1907.7, 54.4, 5.95, 11.4),
        (node(), "ecoserve-2025", 103.0, 3355.4, 4179.4, 119.3, 5.95, 25.1),
        (node("a100-80-sxm", 8, 1900, 6400, 100), "ecoserve", 99.0, 891.5, 1683.5, 48.0, 3.3, 18.2),
    ],
)
def test_nodes_of_the_published_table(shape, coefficients, gpu, host, total, grams, kilowatts, crossover):
    found = account_of(
        shape, AccountTerms(intensity=AverageIntensity(grams_per_kwh=261)), coefficient_set(coefficients)
    )
    assert [round(kg, 1) for kg in (found.gpu_kg, found.host_kg, found.node_kg)] == [gpu, host, total]
    assert round(found.embodied_grams_per_hour, 1) == grams
    assert round(found.rated_watts / 1000, 2) == kilowatts
    assert found.crossover_grams_per_kwh is not None
    assert round(found.crossover_grams_per_kwh, 1) == crossover


@pytest.mark.parametrize(("intensity", "grams"), [(17, 80.9), (261, 1242.4), (501, 2384.8)])
def test_operational_grams_of_the_published_node(intensity, grams):
    found = account_of(node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=intensity)))
    assert round(found.operational_grams_per_hour, 1) == grams


def test_an_account_takes_average_intensity_only():
    with pytest.raises(InvalidInputError, match="average"):
        AccountTerms(intensity=MarginalIntensity(grams_per_kwh=700))


def test_a_card_on_its_own_is_not_rounded():
    shape = NodeShape(accelerator=CATALOG.accelerator("t4"), accelerator_count=3, host=None)
    found = account_of(shape, AccountTerms(intensity=AverageIntensity(grams_per_kwh=261)))
    assert found.node_kg == 3 * found.gpu_kg
    assert found.host_kg == 0
    assert found.rated_watts == 210


def test_at_the_crossover_both_parts_are_equal():
    for model in PowerModel:
        terms = {"power_model": model, "pue": 1.3, "utilization": 0.4}
        crossover = account_of(
            node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=0), **terms)
        ).crossover_grams_per_kwh
        assert crossover is not None
        found = account_of(node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=crossover), **terms))
        assert found.operational_grams_per_hour == pytest.approx(found.embodied_grams_per_hour)


def test_what_draws_nothing_has_no_crossover():
    idle = account_of(node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=261), utilization=0))
    assert idle.crossover_grams_per_kwh is None
    assert idle.operational_grams_per_hour == 0


def test_hosts_and_accelerators_on_their_own_clocks():
    def grams(**years: float) -> float:
        spread = Amortisation(lifetimes=Lifetimes(**years))
        terms = AccountTerms(intensity=AverageIntensity(grams_per_kwh=261), amortisation=spread)
        return account_of(node(), terms).embodied_grams_per_hour

    assert grams(host_years=10, accelerator_years=3) == pytest.approx(
        (1083.67 / 10 + 824.0 / 3) * 1000 / 8760
    )


def test_by_age_only_what_outlives_its_plan_gets_cheaper():
    def grams(age: float) -> float:
        spread = Amortisation(method=AmortisationMethod.AGE, host_age_years=age)
        return account_of(
            node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=0), amortisation=spread)
        ).embodied_grams_per_hour

    assert grams(3) == grams(0)
    assert grams(8) == pytest.approx((1083.67 / 8 + 824.0 / 4) * 1000 / 8760)


def test_by_use_an_hour_carries_the_idle_ones_and_the_crossover_stays():
    spread = Amortisation(method=AmortisationMethod.USE)
    by_use = account_of(
        node(),
        AccountTerms(intensity=AverageIntensity(grams_per_kwh=261), amortisation=spread, utilization=0.25),
    )
    even = account_of(node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=261), utilization=0.25))
    assert by_use.embodied_grams_per_hour == pytest.approx(4 * even.embodied_grams_per_hour)
    assert by_use.operational_grams_per_hour == pytest.approx(5.95 * 261)
    assert by_use.crossover_grams_per_kwh == pytest.approx(even.crossover_grams_per_kwh)
    with pytest.raises(InvalidInputError, match="utilization"):
        account_of(
            node(),
            AccountTerms(intensity=AverageIntensity(grams_per_kwh=261), amortisation=spread, utilization=0),
        )


@pytest.mark.parametrize("age", [-1, float("nan"), float("inf")])
def test_ages_must_be_years(age):
    with pytest.raises(InvalidInputError, match="host age"):
        Amortisation(host_age_years=age)


@given(
    CARDS, SETS, GB, GB, GB, YEARS, SHARE, st.sampled_from(PowerModel), st.sampled_from(AmortisationMethod)
)
def test_every_account_is_finite_and_adds_up(card, name, dram, ssd, watts, years, share, power, method):
    spread = Amortisation(
        lifetimes=Lifetimes(host_years=years, accelerator_years=years), method=method, host_age_years=7
    )
    terms = AccountTerms(
        intensity=AverageIntensity(grams_per_kwh=300),
        utilization=share,
        amortisation=spread,
        power_model=power,
    )
    found = account_of(node(card, 4, dram, ssd, watts), terms, coefficient_set(name))
    numbers = (
        found.node_kg, found.embodied_grams_per_hour, found.operational_grams_per_hour, found.rated_watts,
        found.mean_watts, found.crossover_grams_per_kwh,
    )  # fmt: skip
    assert all(value is not None and math.isfinite(value) and value >= 0 for value in numbers)
    assert found.node_kg == pytest.approx(4 * found.gpu_kg + found.host_kg, abs=4 * 0.05)


@given(SETS, GB, GB, GB)
def test_more_memory_or_disk_never_weighs_less(name, one, other, fixed):
    low, high = sorted((one, other))
    terms, chosen = AccountTerms(intensity=AverageIntensity(grams_per_kwh=261)), coefficient_set(name)
    for less, more in (
        (node(dram_gb=low, ssd_gb=fixed), node(dram_gb=high, ssd_gb=fixed)),
        (node(dram_gb=fixed, ssd_gb=low), node(dram_gb=fixed, ssd_gb=high)),
    ):
        assert account_of(less, terms, chosen).node_kg <= account_of(more, terms, chosen).node_kg


@given(st.floats(0, 2000), st.floats(0, 2000), YEARS, YEARS)
def test_monotone_in_intensity_and_lifetime(one, other, years, longer):
    low, high = sorted((one, other))
    assert (
        account_of(
            node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=low))
        ).operational_grams_per_hour
        <= account_of(
            node(), AccountTerms(intensity=AverageIntensity(grams_per_kwh=high))
        ).operational_grams_per_hour
    )
    short, long = (
        AccountTerms(
            intensity=AverageIntensity(grams_per_kwh=0),
            amortisation=Amortisation(lifetimes=Lifetimes(host_years=y, accelerator_years=y)),
        )
        for y in sorted((years, longer))
    )
    assert (
        account_of(node(), long).embodied_grams_per_hour <= account_of(node(), short).embodied_grams_per_hour
    )


@pytest.mark.parametrize("name", sorted(CATALOG.instances))
def test_every_set_has_an_account_or_a_reason(name):
    instance = CATALOG.instance(name)
    shape = NodeShape(
        accelerator=instance.accelerator,
        accelerator_count=instance.accelerator_count,
        host=host_of(instance),
        cpu_watts=instance.sockets * instance.cpu.tdp_watts,
    )
    found, gaps = accounts_by_set(shape, AccountTerms(intensity=AverageIntensity(grams_per_kwh=261)))
    assert found.keys() | gaps.keys() == coefficient_sets().keys()
    assert not found.keys() & gaps.keys()
    assert {"ecoserve", "ecoserve-2025", "act", "greensku"} <= found.keys()
    for error in gaps.values():
        assert "boavizta" in error.field
