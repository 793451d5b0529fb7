"""Column generation finds the bound of the whole program, whatever it starts with."""

import random
from typing import Any

import pytest

from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import parse_instance
from ecoserve.planner.mathopt_backend import solve_linear
from ecoserve.planner.pricing import Relaxation


def scarce(seed: int, *, phases: bool, load: float) -> Formulation:
    """Two dozen slices that all want the few nodes of the cheapest of six pools in three zones; some lack options."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable instance
    pools = [
        {
            "name": f"p{k}",
            "zone": f"z{k % 3}",
            "nodes": draw.randint(0, 4),
            "node": {
                "resources": {"gpu": 8, "cpu": 64},
                "powerWatts": draw.choice([0.0, 500.0, 1500.0]),
                "embodiedGramsPerHour": draw.uniform(0, 60),
            },
        }
        for k in range(6)
    ]
    roles = ("both", "prefill", "decode") if phases else ("both",)
    configurations = [
        {
            "name": f"p{k}-{gpu}-{role}",
            "pool": f"p{k}",
            "resources": {"gpu": gpu, "cpu": draw.randint(1, 24)},
            "maxReplicas": draw.choice([None, None, 3]),
        }
        for k in range(6)
        for gpu in (1, 4)
        for role in roles
    ]
    slices: list[dict[str, Any]] = [
        {"name": f"s{k}", "rate": load * draw.uniform(0.2, 3.0), "class": draw.choice(["online", "offline"])}
        for k in range(24)
    ]
    slices[3]["rate"] = 0.0
    options = [
        {
            "slice": s["name"],
            "configuration": c["name"],
            "maxRate": draw.uniform(0.5, 3.0) * c["resources"]["gpu"],
            "energyPerRequestJoules": draw.choice([0.0, 100.0, 900.0]),
            "phase": c["name"].rpartition("-")[2],
        }
        for s in slices
        for c in configurations
        if draw.random() < 0.8
    ]
    zones = [{"name": f"z{k}", "carbonIntensity": draw.choice([0.0, 30.0, 400.0])} for k in range(3)]
    limits = [{"name": "few", "configurations": [c["name"] for c in configurations[::3]], "maxReplicas": 5}]
    spec = {
        "zones": zones,
        "pools": pools,
        "configurations": configurations,
        "slices": slices,
        "options": options,
        "limits": limits,
        "held": {configurations[0]["name"]: 2},
        "churnBudget": 30,
    }
    return formulate(parse_instance({"spec": spec}).spec)


@pytest.mark.parametrize("phases", [False, True])
@pytest.mark.parametrize("load", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(2))
def test_few_options_at_a_time_give_the_bound_of_all(seed: int, load: float, phases: bool) -> None:
    formulation = scarce(seed, phases=phases, load=load)
    everything = formulation.program.closed(list(formulation.shed.values()))
    relaxation = Relaxation(formulation, whole=0)
    for program, objective in (
        (everything, formulation.objective()),
        (formulation.program, formulation.shed_rate("online") + formulation.shed_rate("offline")),
        (formulation.program, formulation.objective()),
        (everything, formulation.combined("watts")),
    ):
        whole = solve_linear(program, objective)
        found = relaxation.solve(program, objective)
        assert found.status == whole.status
        if whole.point is not None:
            assert found.objective == pytest.approx(whole.objective, rel=1e-6, abs=1e-6)
            assert found.bound <= whole.objective + 1e-6
            assert found.duals is not None
            assert found.point is not None
            short_of_all = found.point < program.upper - 1e-9
            costs = program.reduced_costs(objective, found.duals)[short_of_all]
            assert costs.min() > -1e-6 * (1 + whole.objective)
    assert not relaxation.useful.all() or len(formulation.offered) < 100


@pytest.mark.parametrize("phases", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_bound_of_a_large_program_is_near_the_least_and_never_above(
    seed: int, phases: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = 0.3  # else these few options are all priced out at once
    for name, value in (("SEARCHED_OPTIONS", 0), ("LOOSE", loose), ("_FIRST", 1)):
        monkeypatch.setattr(f"ecoserve.planner.pricing.{name}", value)
    formulation = scarce(seed, phases=phases, load=1.0)
    relaxation = Relaxation(formulation, whole=0)
    for program, objective in (
        (formulation.program.closed(list(formulation.shed.values())), formulation.objective()),
        (formulation.program.closed(list(formulation.shed.values())), formulation.combined("watts")),
    ):
        least = solve_linear(program, objective).objective
        found = relaxation.solve(program, objective)
        assert found.bound <= least + 1e-6 <= found.objective + 2e-6
        assert found.objective - found.bound <= loose * found.objective + 1e-6
