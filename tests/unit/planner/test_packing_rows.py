"""Rows that say what fits on nodes: all that bind, and none that others imply."""

from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from ecoserve.planner.formulation import formulate
from ecoserve.planner.instance import parse_instance
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


@given(st.lists(_AMOUNTS, min_size=1, max_size=4), st.lists(st.floats(0.0, 5.0), min_size=4, max_size=4))
def test_no_resource_of_a_node_is_exceeded(
    amounts: list[tuple[float, float, float]], worth: list[float]
) -> None:
    """The most valuable replicas that the rows alone let stand on one node."""
    program, columns, nodes = program_of(amounts)
    placed = [k for k, column in enumerate(columns) if column >= 0]
    rows: dict[int, dict[int, float]] = {}
    for row, column, value in zip(
        program.entry_rows.tolist(),
        program.entry_columns.tolist(),
        program.entry_values.tolist(),
        strict=True,
    ):
        rows.setdefault(row, {})[column] = value
    own = [entries for entries in rows.values() if nodes in entries]
    if not placed:
        return
    found = linprog(
        [-1.0 - worth[k] for k in placed],
        A_ub=[[entries.get(columns[k], 0.0) for k in placed] for entries in own] or None,
        b_ub=[-entries[nodes] for entries in own] or None,
        bounds=[(0.0, 10.0)] * len(placed),
    )
    for index, have in enumerate(CAPACITY):
        assert sum(amounts[k][index] * x for k, x in zip(placed, found.x, strict=True)) <= have + 1e-6


def test_a_resource_of_which_replicas_take_a_smaller_part_has_no_row() -> None:
    program, _, nodes = program_of([(2.0, 1.0, 1.0), (1.0, 0.5, 0.5)])
    assert (program.entry_columns == nodes).sum() == 1
    program, _, nodes = program_of([(4.0, 1.0, 1.0), (1.0, 0.5, 2.0)])
    assert (program.entry_columns == nodes).sum() == 2
