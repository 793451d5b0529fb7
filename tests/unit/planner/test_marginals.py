"""Prices at the margin, against solving again with a little more load or one more node."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.instance import MarginalsResult, parse_instance
from ecoserve.planner.solver import solve
from properties import examples

EXAMPLES = examples(40)
THOUSAND_AN_HOUR = 1000 / 3600


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, Any]:
    """Two slices on up to three configurations of two pools in two zones, free and costly, scarce and ample."""
    figure = st.sampled_from([0.0, 1.0, 7.0, 60.0])
    pools = [
        {
            "name": f"p{k}",
            "zone": f"z{k}",
            "nodes": draw(st.integers(0, 4)),
            "node": {"resources": {"gpu": 4, "cpu": 6}, "embodiedGramsPerHour": draw(figure)},
        }
        for k in range(2)
    ]
    configurations = [
        {
            "name": f"c{k}",
            "pool": draw(st.sampled_from(["p0", "p1"])),
            "resources": {"gpu": draw(st.integers(0, 3)), "cpu": draw(st.integers(1, 6))},
            "embodiedGramsPerHour": draw(figure),
            "maxReplicas": draw(st.sampled_from([None, None, 2])),
        }
        for k in range(draw(st.integers(1, 3)))
    ]
    slices = [{"name": f"s{k}", "rate": draw(st.sampled_from([0.0, 0.7, 3.0]))} for k in range(2)]
    options = [
        {
            "slice": s["name"],
            "configuration": c["name"],
            "maxRate": draw(st.sampled_from([0.4, 1.0, 10.0])),
            "energyPerRequestJoules": draw(figure),
        }
        for s in slices
        for c in configurations
    ]
    zones = [
        {"name": f"z{k}", "carbonIntensity": draw(st.sampled_from([0.0, 50.0, 400.0]))} for k in range(2)
    ]
    return {
        "spec": {
            "zones": zones,
            "pools": pools,
            "configurations": configurations,
            "slices": slices,
            "options": options,
        }
    }


def one_kind(**spec: Any) -> dict[str, Any]:
    """A slice on replicas of one device, 10 joules a request, nodes of four devices at 40 g/h."""
    whole = {
        "zones": [{"name": "z", "carbonIntensity": 360.0}],
        "pools": [
            {
                "name": "p",
                "zone": "z",
                "nodes": 9,
                "node": {"resources": {"gpu": 4}, "embodiedGramsPerHour": 40.0},
            }
        ],
        "configurations": [{"name": "c", "pool": "p", "resources": {"gpu": 1}}],
        "slices": [{"name": "s", "rate": 40.0}, {"name": "t", "rate": 10.0}],
        "options": [
            {"slice": name, "configuration": "c", "maxRate": 5.0, "energyPerRequestJoules": joules}
            for name, joules in (("s", 1000.0), ("t", 1000.0))
        ],
    }
    return {"spec": whole | spec}


def prices(document: dict[str, Any]) -> MarginalsResult:
    found = solve(parse_instance(document)).marginals
    assert found is not None
    return found


def lp_bound(document: dict[str, Any]) -> float:
    return solve(parse_instance(document)).bounds.lp


@pytest.mark.parametrize("divisible", [True, False])
def test_a_thousand_requests_cost_their_energy_and_their_part_of_a_node(divisible: bool) -> None:
    # 1,000 J a request are 0.1 g at 360 g/kWh; 1,000 requests an hour take 1/18 replica, 1/72 node, 40/72 g/h.
    found = prices(one_kind(divisible=divisible))
    assert found.slices == pytest.approx({"s": 100 + 40 / 72, "t": 100 + 40 / 72})
    assert found.replicas == pytest.approx({"c": 10.0})
    assert found.nodes == {"p": 0.0}
    assert [(b.kind, b.name, b.resource) for b in found.binding] == [("resource", "p", "gpu")]


def test_a_scarce_clean_pool_is_worth_what_it_saves() -> None:
    zones = [{"name": name, "carbonIntensity": grams} for name, grams in (("clean", 0.0), ("dirty", 360.0))]
    node = {"resources": {"gpu": 1}}
    found = prices(
        one_kind(
            zones=zones,
            pools=[
                {"name": z["name"], "zone": z["name"], "nodes": n, "node": node}
                for z, n in zip(zones, (2, 99), strict=True)
            ],
            configurations=[{"name": z["name"], "pool": z["name"], "resources": {"gpu": 1}} for z in zones],
            options=[
                {"slice": s, "configuration": z["name"], "maxRate": 5.0, "energyPerRequestJoules": 1000.0}
                for s in ("s", "t")
                for z in zones
            ],
        )
    )
    assert found.slices == pytest.approx({"s": 100.0, "t": 100.0})
    assert found.nodes == pytest.approx({"clean": 5 * 3.6 * 100.0, "dirty": 0.0})
    assert [(b.kind, b.name) for b in found.binding if b.kind == "nodes"] == [("nodes", "clean")]


def test_limits_and_the_churn_budget_are_told_where_they_bind() -> None:
    limits = [{"name": "many", "configurations": ["c"], "minReplicas": 30}]
    assert ("minReplicas", "many", 10.0) in [
        (b.kind, b.name, pytest.approx(b.value)) for b in prices(one_kind(limits=limits)).binding
    ]
    held = prices(one_kind(held={"c": 14}, churnBudget=2)).binding
    assert [(b.kind, b.value) for b in held if b.kind == "churnBudget"] == [
        ("churnBudget", pytest.approx(10.0))
    ]


def changed(document: dict[str, Any], part: str, index: int, field: str, value: float) -> dict[str, Any]:
    items = [dict(item) for item in document["spec"][part]]
    items[index][field] = value
    return {"spec": document["spec"] | {part: items}}


@EXAMPLES
@given(document=fleets(), data=st.data())
def test_a_little_more_load_costs_what_the_margin_says(document: dict[str, Any], data: st.DataObject) -> None:
    result = solve(parse_instance(document))
    assert result.marginals is not None
    assert all(value >= 0 for value in result.marginals.slices.values())
    if any(result.unserved.values()):
        return
    index = data.draw(st.integers(0, len(document["spec"]["slices"]) - 1))
    item = document["spec"]["slices"][index]
    rate, step = item["rate"], 1e-3
    if rate == 0.0:
        assert item["name"] not in result.marginals.slices
        return
    more = solve(parse_instance(changed(document, "slices", index, "rate", rate * (1 + step))))
    if any(more.unserved.values()):
        return
    less = lp_bound(changed(document, "slices", index, "rate", rate * (1 - step)))
    slopes = ((more.bounds.lp - result.bounds.lp) / (rate * step), (result.bounds.lp - less) / (rate * step))
    marginal = result.marginals.slices[item["name"]] / THOUSAND_AN_HOUR
    slack = 1e-3 * (1 + result.bounds.lp / rate)
    assert min(slopes) - slack <= marginal <= max(slopes) + slack


@EXAMPLES
@given(document=fleets(), data=st.data())
def test_one_more_node_saves_no_more_than_its_value(document: dict[str, Any], data: st.DataObject) -> None:
    result = solve(parse_instance(document))
    assert result.marginals is not None
    if any(result.unserved.values()):
        return
    index = data.draw(st.integers(0, len(document["spec"]["pools"]) - 1))
    pool = document["spec"]["pools"][index]
    if pool["nodes"] == 0:
        assert pool["name"] not in result.marginals.nodes
        return
    value = result.marginals.nodes[pool["name"]]
    after = lp_bound(changed(document, "pools", index, "nodes", pool["nodes"] + 1))
    assert value >= 0
    slack = 1e-6 * (1 + result.bounds.lp)
    assert after <= result.bounds.lp + slack
    assert result.bounds.lp - after <= value + slack


@EXAMPLES
@given(document=fleets())
def test_prices_account_for_the_bound(document: dict[str, Any]) -> None:
    """What slices pay covers no more than the bound and the rent of pools at their cap; twice the grams, twice all."""
    spec = document["spec"]
    free = [item | {"maxReplicas": None} for item in spec["configurations"]]
    document = {"spec": spec | {"configurations": free}}
    result = solve(parse_instance(document))
    assert result.marginals is not None
    if any(result.unserved.values()):
        return
    paid = sum(
        result.marginals.slices.get(s["name"], 0.0) / THOUSAND_AN_HOUR * s["rate"] for s in spec["slices"]
    )
    rent = sum(result.marginals.nodes[p["name"]] * p["nodes"] for p in spec["pools"] if p["nodes"])
    assert paid <= (result.bounds.lp + rent) * (1 + 1e-6) + 1e-6
    doubled = solve(parse_instance({"spec": document["spec"] | doubled_grams(document["spec"])}))
    assert doubled.bounds.lp == pytest.approx(2 * result.bounds.lp, rel=1e-6, abs=1e-6)


def doubled_grams(spec: dict[str, Any]) -> dict[str, Any]:
    grams = "embodiedGramsPerHour"
    return {
        "zones": [z | {"carbonIntensity": 2 * z["carbonIntensity"]} for z in spec["zones"]],
        "pools": [p | {"node": p["node"] | {grams: 2 * p["node"][grams]}} for p in spec["pools"]],
        "configurations": [c | {grams: 2 * c[grams]} for c in spec["configurations"]],
    }
