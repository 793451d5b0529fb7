"""Cuts for plans that fit in aggregate and on no assignment of replicas to nodes."""

from collections.abc import Mapping

from ecoserve.planner.candidate import Candidate
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.program import Program, Row, row


def packing_cut(
    formulation: Formulation, program: Program, found: Candidate, overflowing: Mapping[str, int]
) -> Program:
    """Forbid these replicas on so few nodes: one kind must shrink, or the pool must turn on more nodes.

    Each way out is a binary column of its own, and one of them is taken.
    """
    rows: list[Row] = []
    binaries = 0

    def binary() -> int:
        nonlocal binaries
        binaries += 1
        return program.columns + binaries - 1

    for pool, nodes in overflowing.items():
        choices: list[tuple[int, float]] = []
        for item in formulation.spec.configurations:
            count = found.replicas.get(item.name, 0)
            if item.pool == pool and count > 0:
                choice, column = binary(), formulation.replicas[item.name]
                most = float(program.upper[column])
                rows.append(row([(column, 1.0), (choice, most - count + 1)], upper=most))
                choices.append((choice, 1.0))
        column = formulation.nodes[pool]
        if nodes <= program.upper[column]:
            more = binary()
            rows.append(row([(column, 1.0), (more, -float(nodes))], lower=0.0))
            choices.append((more, 1.0))
        rows.append(row(choices, lower=1.0))
    return program.extended(binaries, *rows, upper=1.0, integer=True)
