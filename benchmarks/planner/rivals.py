"""Plain solvers: HiGHS and SCIP through OR-Tools, CBC through PuLP, without merging, restriction or hints.

They get the textbook program that serves everything: cover, capacity and packing rows. On small instances HiGHS and
SCIP also get the planner's own program, whose rows tie shares to nodes: it is tighter and larger.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import PlanningInstance
from ecoserve.planner.mathopt_backend import model_proto
from ecoserve.planner.program import Program


@dataclass(frozen=True, slots=True)
class Answer:
    """Objective of a solver (None where nothing was found), and what it proved that no plan is below (None where it tells none)."""

    objective: float | None
    bound: float | None = None


def whole_program(instance: PlanningInstance, *, tight: bool) -> tuple[Formulation, Program]:
    """Return the unmerged program with shedding forbidden; without the tightening rows unless `tight`."""
    formulation = formulate(instance.spec)
    program = formulation.program.closed(list(formulation.shed.values()))
    if tight:
        return formulation, program
    rows = formulation.rows
    textbook = [*rows.cover.values(), *rows.capacity.values(), *rows.packing.values()]
    kept = np.zeros(len(program.row_lower), np.bool_)
    kept[textbook] = True
    places = np.cumsum(kept) - 1
    entries = kept[program.entry_rows]
    return formulation, Program(
        program.lower,
        program.upper,
        program.integer,
        program.row_lower[kept],
        program.row_upper[kept],
        places[program.entry_rows[entries]],
        program.entry_columns[entries],
        program.entry_values[entries],
    )


def by_mathopt(
    solver: str, instance: PlanningInstance, gap: float, limit_seconds: float, tight: bool = False
) -> Answer:
    """Solve by `HIGHS` or `GSCIP` with the solver's own settings."""
    from ortools.math_opt.python import mathopt

    formulation, program = whole_program(instance, tight=tight)
    parameters = mathopt.SolveParameters(
        relative_gap_tolerance=gap, time_limit=timedelta(seconds=limit_seconds)
    )
    if solver == "GSCIP":
        parameters.threads = 1
    proto = model_proto(program, formulation.objective(), np.flatnonzero(program.open), relaxed=False)
    model = mathopt.Model.from_model_proto(proto)
    result = mathopt.solve(model, mathopt.SolverType[solver], params=parameters)
    found = result.objective_value() if result.has_primal_feasible_solution() else None
    return Answer(found, result.termination.objective_bounds.dual_bound)


def by_cbc(instance: PlanningInstance, gap: float, limit_seconds: float) -> Answer:
    """Solve by CBC as PuLP calls it."""
    import pulp

    formulation, program = whole_program(instance, tight=False)
    problem = pulp.LpProblem("plan", pulp.LpMinimize)
    infinity = float("inf")
    columns = {
        column: pulp.LpVariable(
            f"x{column}",
            float(program.lower[column]),
            None if program.upper[column] == infinity else float(program.upper[column]),
            "Integer" if program.integer[column] else "Continuous",
        )
        for column in np.flatnonzero(program.open).tolist()
    }
    objective = formulation.objective()
    problem += pulp.LpAffineExpression((variable, float(objective[c])) for c, variable in columns.items())
    entries: list[list[tuple[Any, float]]] = [[] for _ in program.row_lower]
    for row, column, value in zip(
        program.entry_rows.tolist(),
        program.entry_columns.tolist(),
        program.entry_values.tolist(),
        strict=True,
    ):
        if column in columns:
            entries[row].append((columns[column], value))
    for terms, lower, upper in zip(
        entries, program.row_lower.tolist(), program.row_upper.tolist(), strict=True
    ):
        total = pulp.LpAffineExpression(terms)
        problem += total == lower if lower == upper else total <= upper
    return _run_cbc(problem, gap, limit_seconds)


def by_published_program(instance: PlanningInstance, gap: float, limit_seconds: float) -> Answer:
    """Solve Mélange's program as published, by PuLP and CBC: B_j nodes, Σ_j A_ij = 1, Σ_i A_ij L_ij ≤ B_j."""
    import pulp

    spec = instance.spec
    prices = {pool.name: pool.node.cost_per_hour for pool in spec.pools}
    rates = {item.name: item.rate for item in spec.slices}
    kind = "Continuous" if spec.divisible else "Binary"
    problem = pulp.LpProblem("melange", pulp.LpMinimize)
    nodes = {name: pulp.LpVariable(f"B{index}", 0, None, "Integer") for index, name in enumerate(prices)}
    problem += pulp.lpSum(price * nodes[name] for name, price in prices.items())
    covers: dict[str, list[pulp.LpVariable]] = {}
    loads: dict[str, list[pulp.LpAffineExpression]] = {}
    for index, option in enumerate(spec.options):
        share = pulp.LpVariable(f"A{index}", 0, 1, kind)
        covers.setdefault(option.slice, []).append(share)
        loads.setdefault(option.configuration, []).append(rates[option.slice] / option.max_rate * share)
    for shares in covers.values():
        problem += pulp.lpSum(shares) == 1
    for name, parts in loads.items():
        problem += pulp.lpSum(parts) <= nodes[name]
    return _run_cbc(problem, gap, limit_seconds)


def _run_cbc(problem: Any, gap: float, limit_seconds: float) -> Answer:
    import pulp

    with TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)  # CBC leaves its files where it runs
        try:
            problem.solve(pulp.PULP_CBC_CMD(msg=False, gapRel=gap, timeLimit=limit_seconds, threads=1))
        finally:
            os.chdir(here)
    return Answer(pulp.value(problem.objective) if problem.sol_status > 0 else None)
