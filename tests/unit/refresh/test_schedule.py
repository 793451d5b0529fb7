"""The refresh schedule against brute force and against what must hold of any least-carbon schedule."""

from dataclasses import replace
from itertools import combinations_with_replacement, product
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import InvalidInputError
from ecoserve.refresh.assumptions import Assumptions
from ecoserve.refresh.fleet import Batch, Kind, Part
from ecoserve.refresh.schedule import RELATIVE_GAP, Schedule, separate_schedule, uniform_schedule
from properties import examples

TOLERANCE = 1 + 2 * RELATIVE_GAP
kilograms = st.floats(10.0, 5_000.0)


def kind_of(
    *ages: float, intensity: float = 300.0, host_kg: float = 1_000.0, cards_kg: float = 800.0
) -> Kind:
    return Kind(
        sku="server",
        zone="west",
        carbon_intensity=intensity,
        pue=1.1,
        host=Part(kg=host_kg, idle_watts=300.0, dynamic_watts=0.0),
        accelerators=Part(kg=cards_kg, idle_watts=800.0, dynamic_watts=3_000.0),
        accelerators_per_node=8,
        batches=tuple(Batch(nodes=1, age_years=age) for age in ages),
    )


def early(schedule: Schedule, kind: Kind, years: Assumptions) -> bool:
    """Tell whether anything retires before the end of its life."""
    lives = ((schedule.hosts, years.host_years), (schedule.accelerators, years.accelerator_years))
    for moves, life in lives:
        due = [max(0, ceil(life - batch.age_years - 1e-9)) for batch in kind.batches]
        for year, move in enumerate(moves):
            if move.retired > due.count(year):
                return True
            due += [year + life] * move.bought
    return False


@st.composite
def assumptions(draw: st.DrawFn) -> Assumptions:
    return Assumptions(
        horizon_years=draw(st.integers(1, 8)),
        demand_growth=draw(st.sampled_from([0.0, 0.15, 0.5, -0.2])),
        grid_decarbonisation=draw(st.sampled_from([0.0, 0.036, 0.3])),
        accelerator_gain=draw(st.sampled_from([0.0, 0.2, 0.45, 1.5])),
        accelerator_power_growth=draw(st.sampled_from([0.0, 0.58, -0.3])),
        accelerator_embodied_growth=draw(st.sampled_from([0.0, 0.5])),
        generation_years=draw(st.sampled_from([1.0, 2.0])),
        host_gain=draw(st.sampled_from([0.0, 0.2])),
        host_years=draw(st.integers(3, 10)),
        accelerator_years=draw(st.integers(3, 6)),
    )


kinds = st.builds(
    lambda ages, intensity, host, cards: kind_of(*ages, intensity=intensity, host_kg=host, cards_kg=cards),
    st.lists(st.floats(0.0, 9.0), min_size=1, max_size=3),
    st.sampled_from([0.0, 20.0, 300.0]),
    kilograms,
    kilograms,
)


@examples(6)
@given(kinds, assumptions())
def test_separate_is_never_worse_than_any_uniform_refresh(kind: Kind, years: Assumptions) -> None:
    alone = separate_schedule(kind, years)  # told of no uniform one, so that the program itself is held to it
    for every in (3, 4, 5, 6):
        uniform = uniform_schedule(kind, years, every)
        assert (uniform is None) == (every > min(years.host_years, years.accelerator_years))
        if uniform is not None:
            assert alone.total_kg <= uniform.total_kg * TOLERANCE + 1e-6
            known = separate_schedule(kind, years, [uniform])
            assert known.total_kg <= uniform.total_kg


@examples(6)
@given(kinds, assumptions())
def test_without_gains_nothing_is_replaced_before_the_end_of_its_life(kind: Kind, years: Assumptions) -> None:
    growth = max(0.0, years.demand_growth)
    years = replace(
        years,
        accelerator_gain=0.0,
        accelerator_power_growth=0.0,
        accelerator_embodied_growth=0.0,
        host_gain=0.0,
        demand_growth=growth,
    )
    kind = replace(kind, carbon_intensity=max(1.0, kind.carbon_intensity))
    assert not early(separate_schedule(kind, years), kind, years)


@examples(6)
@given(kilograms, st.floats(1.2, 10.0), st.floats(0.0, 2.0), st.sampled_from([0.2, 0.45, 1.0]))
def test_more_embodied_carbon_is_never_replaced_earlier(
    kg: float, factor: float, age: float, gain: float
) -> None:
    """Lives longer than the horizon leave room for one replacement, whose year is then the whole decision."""
    years = Assumptions(horizon_years=4, accelerator_gain=gain, generation_years=4.0, accelerator_years=8)
    first = []
    for cards_kg in (kg, kg * factor):
        schedule = separate_schedule(kind_of(age, cards_kg=cards_kg), years)
        bought = [year for year, moves in enumerate(schedule.accelerators) if moves.bought]
        first.append(bought[0] if bought else years.horizon_years)
    assert first[0] <= first[1]


@examples(6)
@given(kinds, assumptions(), st.floats(1.1, 10.0))
def test_more_embodied_carbon_never_buys_more(kind: Kind, years: Assumptions, factor: float) -> None:
    """Kilograms charged, at the same price for both, never rise with the price."""
    assert kind.accelerators is not None
    dear = replace(
        kind,
        host=replace(kind.host, kg=kind.host.kg * factor),
        accelerators=replace(kind.accelerators, kg=kind.accelerators.kg * factor),
    )
    cheap_plan, dear_plan = separate_schedule(kind, years), separate_schedule(dear, years)
    slack = RELATIVE_GAP * (cheap_plan.total_kg + dear_plan.total_kg) / (factor - 1)
    assert dear_plan.embodied_kg / factor <= cheap_plan.embodied_kg + slack + 1e-6


@examples(6)
@given(kinds, assumptions(), st.sampled_from([0.0, 0.05, 0.5]))
def test_a_faster_cleaning_grid_never_emits_more(kind: Kind, years: Assumptions, more: float) -> None:
    """Any schedule emits no more on it, so the least one does not."""
    cleaner = replace(years, grid_decarbonisation=min(1.0, years.grid_decarbonisation + more))
    slow, fast = separate_schedule(kind, years), separate_schedule(kind, cleaner)
    assert fast.total_kg <= slow.total_kg * TOLERANCE + 1e-6


@examples(6)
@given(kinds, assumptions(), st.integers(0, 4), st.integers(0, 4))
def test_hardware_that_lasts_longer_never_emits_more(
    kind: Kind, years: Assumptions, hosts: int, accelerators: int
) -> None:
    """Every schedule is still possible and charged no more. What a profile states goes before what is assumed."""
    longer = replace(
        kind,
        host_years=years.host_years + hosts,
        accelerator_years=years.accelerator_years + accelerators,
    )
    short, long = separate_schedule(kind, years), separate_schedule(longer, years)
    assert long.total_kg <= short.total_kg * TOLERANCE + 1e-6
    alike = replace(kind, host_years=years.host_years, accelerator_years=years.accelerator_years)
    assumed = replace(years, host_years=1, accelerator_years=1)
    assert separate_schedule(alike, assumed).total_kg == pytest.approx(short.total_kg, rel=TOLERANCE - 1)


def brute_force_kg(kind: Kind, years: Assumptions) -> float:
    """Try every way for one node today to be followed by up to four, work given to the fastest first."""
    assert kind.accelerators is not None
    horizon = years.horizon_years
    price = [
        kind.pue * kind.carbon_intensity * (1 - years.grid_decarbonisation) ** y * 8.76
        for y in range(horizon)
    ]

    def spans(life: int) -> list[list[tuple[int, int]]]:
        """All sets of cohorts as (born, end): the standing node first, then up to four purchases."""
        left = min(horizon, max(0, ceil(life - kind.batches[0].age_years - 1e-9)))
        standing = [(-1, end) for end in range(left + 1)]
        bought = [(b, e) for b in range(horizon) for e in range(b + 1, min(horizon, b + life) + 1)]
        more = [list(many) for n in range(5) for many in combinations_with_replacement(bought, n)]
        return [[first, *many] for first in standing for many in more]

    def grown(by: float, born: int) -> float:
        """Return a yearly cohort's multiple of today's, by so much with each generation."""
        age = kind.batches[0].age_years + born
        return 1.0 if born < 0 else (1 + by) ** int(age // years.generation_years)

    def draw(born: int) -> float:
        return grown(years.accelerator_power_growth, born)

    def speed(born: int) -> float:
        return grown(years.accelerator_gain, born) * draw(born)

    def charged(part: Part, life: int, cohorts: list[tuple[int, int]], growth: float = 0.0) -> float:
        shares = (
            grown(growth, born) * (1.0 if end < horizon else (horizon - born) / life)
            for born, end in cohorts
            if born >= 0
        )
        return part.kg * sum(shares)

    def alive(cohorts: list[tuple[int, int]], year: int) -> list[int]:
        return [born for born, end in cohorts if max(0, born) <= year < end]

    def accelerators_kg(cohorts: list[tuple[int, int]]) -> float | None:
        assert kind.accelerators is not None
        growth = years.accelerator_embodied_growth
        total = charged(kind.accelerators, years.accelerator_years, cohorts, growth)
        for year in range(horizon):
            todo = (1 + years.demand_growth) ** year
            for born in sorted(alive(cohorts, year), reverse=True):  # later ones do more per joule
                done = min(todo, speed(born))
                dynamic = kind.accelerators.dynamic_watts * done / speed(born)
                watts = draw(born) * (kind.accelerators.idle_watts + dynamic)
                total, todo = total + watts / 1000 * price[year], todo - done
            if todo > 1e-9:
                return None
        return total

    def hosts_kg(cohorts: list[tuple[int, int]]) -> float:
        idle = (len(alive(cohorts, y)) * kind.host.idle_watts / 1000 * price[y] for y in range(horizon))
        return charged(kind.host, years.host_years, cohorts) + sum(idle)

    def cheapest(options: list[tuple[list[tuple[int, int]], float]]) -> dict[tuple[int, ...], float]:
        """The least kilograms by how many serve in each year."""
        found: dict[tuple[int, ...], float] = {}
        for cohorts, kg in options:
            counts = tuple(len(alive(cohorts, year)) for year in range(horizon))
            found[counts] = min(kg, found.get(counts, kg))
        return found

    hosts = cheapest([(c, hosts_kg(c)) for c in spans(years.host_years)])
    sets = cheapest(
        [(c, kg) for c in spans(years.accelerator_years) if (kg := accelerators_kg(c)) is not None]
    )
    return min(
        host_kg + set_kg
        for (host, host_kg), (cards, set_kg) in product(hosts.items(), sets.items())
        if all(used <= there for used, there in zip(cards, host, strict=True))
    )


@pytest.mark.parametrize(("age", "gain"), [(0.0, 0.0), (0.0, 2.0), (1.5, 0.45), (3.0, 0.45)])
@pytest.mark.parametrize(
    ("growth", "cards_kg", "power_growth", "embodied_growth"),
    [(0.0, 800.0, 0.0, 0.0), (0.3, 50.0, 0.0, 1.0), (-0.2, 4_000.0, 0.58, 0.1), (-0.3, 300.0, -0.3, -0.5)],
)
def test_brute_force_finds_nothing_better_on_tiny_horizons(
    age: float, gain: float, growth: float, cards_kg: float, power_growth: float, embodied_growth: float
) -> None:
    years = Assumptions(
        horizon_years=3,
        demand_growth=growth,
        accelerator_gain=gain,
        accelerator_power_growth=power_growth,
        accelerator_embodied_growth=embodied_growth,
        generation_years=1.0,
        host_years=3,
        accelerator_years=2,
    )
    kind = kind_of(age, cards_kg=cards_kg)
    assert separate_schedule(kind, years).total_kg == pytest.approx(brute_force_kg(kind, years), rel=1e-5)


def test_nodes_without_accelerators_only_have_hosts() -> None:
    kind = replace(kind_of(4.0, 4.0), accelerators=None, accelerators_per_node=0)
    schedule = separate_schedule(kind, Assumptions())
    assert [year for year, moves in enumerate(schedule.hosts) if moves.bought] == [6]
    assert schedule.hosts[6].bought == 2
    assert not any(moves.in_service for moves in schedule.accelerators)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"horizon_years": 0}, "horizon"),
        ({"demand_growth": float("nan")}, "demand growth"),
        ({"grid_decarbonisation": 1.5}, "grid"),
        ({"accelerator_gain": -0.1}, "accelerator gain"),
        ({"accelerator_power_growth": -1.0}, "power growth"),
        ({"accelerator_embodied_growth": float("inf")}, "embodied growth"),
        ({"generation_years": 0.0}, "generation"),
        ({"accelerator_years": 0}, "accelerator years"),
        ({"utilization": 0.0}, "utilization"),
    ],
)
def test_assumptions_that_make_no_sense_are_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        Assumptions(**changes)  # type: ignore[arg-type]
