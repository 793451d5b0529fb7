"""Plain solvers on the planner's own program: HiGHS and SCIP through OR-Tools, CBC through PuLP.

They get the program that serves everything, without merging, restriction or hints, and the same gap.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import PlanningInstance
from ecoserve.planner.mathopt_backend import build_model
from ecoserve.planner.program import Program


@dataclass(frozen=True, slots=True)
class Answer:
    """Objective (None where nothing was found) of a solver."""

    objective: float | None


def whole_program(instance: PlanningInstance) -> tuple[Formulation, Program]:
    """Return the unmerged program with shedding forbidden."""
    formulation = formulate(instance.spec)
    return formulation, formulation.program.bounded(dict.fromkeys(formulation.shed.values(), (0.0, 0.0)))


def by_mathopt(solver: str, instance: PlanningInstance, gap: float, limit_seconds: float) -> Answer:
    """Solve by `HIGHS` or `GSCIP`."""
    from ortools.math_opt.python import mathopt

    formulation, program = whole_program(instance)
    parameters = mathopt.SolveParameters(
        relative_gap_tolerance=gap, time_limit=timedelta(seconds=limit_seconds)
    )
    if solver == "GSCIP":
        parameters.threads = 1
    model = build_model(program, formulation.objective(), relaxed=False)
    result = mathopt.solve(model, mathopt.SolverType[solver], params=parameters)
    return Answer(result.objective_value() if result.has_primal_feasible_solution() else None)


def by_cbc(instance: PlanningInstance, gap: float, limit_seconds: float) -> Answer:
    """Solve by CBC as PuLP calls it."""
    import pulp

    formulation, program = whole_program(instance)
    problem = pulp.LpProblem("plan", pulp.LpMinimize)
    columns = [
        pulp.LpVariable(
            f"x{index}", low, None if high == float("inf") else high, "Integer" if whole else "Continuous"
        )
        for index, (low, high, whole) in enumerate(
            zip(program.lower, program.upper, program.integer, strict=True)
        )
    ]
    problem += pulp.LpAffineExpression((columns[c], v) for c, v in formulation.objective().items())
    for row in program.rows:
        total = pulp.LpAffineExpression(
            (columns[c], v) for c, v in zip(row.columns, row.coefficients, strict=True)
        )
        if row.lower == row.upper:
            problem += total == row.lower
        elif row.upper != float("inf"):
            problem += total <= row.upper
        if row.lower != float("-inf") and row.lower != row.upper:
            problem += total >= row.lower
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
