"""Rows that say what fits on nodes: all that bind, and none that others imply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from ecoserve.planner.formulation import formulate
from ecoserve.planner.instance import parse_instance
from ecoserve.planner.packing import Item, pack
from ecoserve.planner.program import Program

_AMOUNT = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
_AMOUNTS = st.tuples(_AMOUNT, _AMOUNT, _AMOUNT)
CAPACITY = (8.0, 6.0, 4.0)


def program_of(amounts: list[tuple[float, float, float]]) -> tuple[Program, list[int], int]:
    """The program of configurations on one pool, with the columns of their replicas and of the nodes."""
    names = ("gpu", "cpu", "memoryGiB")
    formulation = formulate(
        parse_instance(
            {
                "spec": {
                    "zones": [{"name": "z", "carbonIntensity": 100.0}],
                    "pools": [
                        {
                            "name": "p",
                            "zone": "z",
                            "nodes": 10,
                            "node": {
                                "resources": dict(zip(names, CAPACITY, strict=True)),
                                "powerWatts": 100.0,
                            },
                        }
                    ],
                    "configurations": [
                        {"name": f"c{k}", "pool": "p", "resources": dict(zip(names, each, strict=True))}
                        for k, each in enumerate(amounts)
                    ],
                    "slices": [{"name": "s", "rate": 1.0}],
                    "options": [
                        {"slice": "s", "configuration": f"c{k}", "maxRate": 1.0} for k in range(len(amounts))
                    ],
                }
            }
        ).spec
    )
    columns = [formulation.replicas.get(f"c{k}", -1) for k in range(len(amounts))]
    return formulation.program, columns, formulation.nodes["p"]


def node_rows(program: Program, nodes: int) -> list[dict[int, float]]:
    """The rows of what fits on the pool's nodes, by column."""
    rows: dict[int, dict[int, float]] = {}
    for row, column, value in zip(
        program.entry_rows.tolist(),
        program.entry_columns.tolist(),
        program.entry_values.tolist(),
        strict=True,
    ):
        rows.setdefault(row, {})[column] = value
    return [entries for entries in rows.values() if nodes in entries]


def on_one_node(amounts: list[tuple[float, float, float]], worth: list[float]) -> list[float]:
    """The most valuable replicas that the rows alone let stand on one node."""
    program, columns, nodes = program_of(amounts)
    rows = node_rows(program, nodes)
    found = linprog(
        [-each for each in worth],
        A_ub=[[entries.get(column, 0.0) for column in columns] for entries in rows] or None,
        b_ub=[-entries[nodes] for entries in rows] or None,
        bounds=[(0.0, 10.0 if column >= 0 else 0.0) for column in columns],
    )
    return list(found.x)


@given(st.lists(_AMOUNTS, min_size=1, max_size=4), st.lists(st.floats(0.0, 5.0), min_size=4, max_size=4))
def test_no_resource_of_a_node_is_exceeded(
    amounts: list[tuple[float, float, float]], worth: list[float]
) -> None:
    placed = on_one_node(amounts, [1.0 + each for each, _ in zip(worth, amounts, strict=False)])
    for index, have in enumerate(CAPACITY):
        assert sum(each[index] * x for each, x in zip(amounts, placed, strict=True)) <= have + 1e-6


@given(st.lists(st.tuples(_AMOUNTS, st.integers(1, 5)), min_size=1, max_size=4))
def test_what_can_be_packed_is_allowed(kinds: list[tuple[tuple[float, float, float], int]]) -> None:
    program, columns, nodes = program_of([amounts for amounts, _ in kinds])
    counts = {column: count for column, (_, count) in zip(columns, kinds, strict=True) if column >= 0}
    items = [
        Item(f"c{k}", amounts, count)
        for k, ((amounts, count), column) in enumerate(zip(kinds, columns, strict=True))
        if column >= 0
    ]
    counts[nodes] = pack(items, CAPACITY).nodes
    for entries in node_rows(program, nodes):
        assert sum(value * counts[column] for column, value in entries.items()) <= 1e-6


def test_no_two_replicas_larger_than_half_a_node_share_one() -> None:
    assert sum(on_one_node([(5.0, 0.0, 0.0), (6.0, 0.0, 0.0)], [1.0, 1.0])) == pytest.approx(1.0)


def test_replicas_that_leave_a_rest_of_the_node_are_counted_whole() -> None:
    assert on_one_node([(3.0, 0.0, 0.0)], [1.0]) == pytest.approx([2.0])


def test_a_resource_of_which_replicas_take_a_smaller_part_has_no_row() -> None:
    program, _, nodes = program_of([(2.0, 1.0, 1.0), (1.0, 0.5, 0.5)])
    assert (program.entry_columns == nodes).sum() == 1
    program, _, nodes = program_of([(4.0, 1.0, 1.0), (1.0, 0.5, 2.0)])
    assert (program.entry_columns == nodes).sum() == 2
