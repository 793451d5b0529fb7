"""The one module that talks to OR-Tools: linear programs by GLOP, mixed-integer programs by HiGHS, through MathOpt.

Models go in as protocol buffers, which is several times faster than building them from Python objects. HiGHS
behind MathOpt rejects a number of threads, so none is set; a MathOpt error surfaces as an `AttributeError`
whose context holds the real message, which is unwrapped here.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ortools.math_opt import model_pb2  # type: ignore[import-untyped]
from ortools.math_opt.python import mathopt  # type: ignore[import-untyped]

from ecoserve.errors import EcoserveError
from ecoserve.planner.program import Program

Status = Literal["optimal", "feasible", "infeasible", "unknown"]

_STATUS: dict[mathopt.TerminationReason, Status] = {
    mathopt.TerminationReason.OPTIMAL: "optimal",
    mathopt.TerminationReason.FEASIBLE: "feasible",
    mathopt.TerminationReason.INFEASIBLE: "infeasible",
    mathopt.TerminationReason.INFEASIBLE_OR_UNBOUNDED: "infeasible",  # every objective here is bounded below
}


_STDOUT = 1
_redirecting = threading.Lock()


class SolverError(EcoserveError):
    """The solver itself failed; its message is passed on."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A solver's answer: values by column (empty without a feasible point), a lower bound, duals of an LP."""

    status: Status
    values: tuple[float, ...] = ()
    objective: float = 0.0
    bound: float = 0.0
    reduced_costs: tuple[float, ...] = ()
    duals: tuple[float, ...] = ()


def solve_linear(program: Program, objective: Mapping[int, float]) -> Solution:
    """Minimise the linear relaxation by GLOP; duals by row and reduced costs by column come along."""
    model = build_model(program, objective, relaxed=True)
    sparse = mathopt.ModelSolveParameters(
        variable_values_filter=mathopt.VariableFilter(skip_zero_values=True),
        reduced_costs_filter=mathopt.VariableFilter(skip_zero_values=True),
    )
    result = _run(model, mathopt.SolverType.GLOP, mathopt.SolveParameters(), sparse)
    status = _STATUS.get(result.termination.reason, "unknown")
    if not result.has_primal_feasible_solution():
        return Solution(status)
    has_duals = result.has_dual_feasible_solution()
    return Solution(
        status,
        values=_by_column(program, result.variable_values()),
        objective=result.objective_value(),
        bound=result.objective_value() if status == "optimal" else result.dual_bound(),
        reduced_costs=_by_column(program, result.reduced_costs()) if has_duals else (),
        duals=tuple(result.dual_values(list(model.linear_constraints()))) if has_duals else (),
    )


class LinearSession:
    """A linear relaxation that stays with GLOP, which starts each solve where the last one ended."""

    def __init__(self, program: Program, objective: Mapping[int, float]) -> None:
        self._program = program
        self._model = build_model(program, objective, relaxed=True)
        self._by_id = {variable.id: variable for variable in self._model.variables()}
        # Reading an answer takes longer than finding it, so only what is not zero is read.
        self._reading = mathopt.ModelSolveParameters(
            variable_values_filter=mathopt.VariableFilter(skip_zero_values=True),
            dual_values_filter=mathopt.LinearConstraintFilter(filtered_items=()),
            reduced_costs_filter=mathopt.VariableFilter(filtered_items=()),
        )
        self._solver = mathopt.IncrementalSolver(self._model, mathopt.SolverType.GLOP)

    def solve(self, prices: Mapping[int, float]) -> Solution:
        """Minimise with other objective coefficients on some columns; values come along, duals do not."""
        for column, price in prices.items():
            if column in self._by_id:
                self._model.objective.set_linear_coefficient(self._by_id[column], price)
        result = self._solver.solve(model_params=self._reading)
        status = _STATUS.get(result.termination.reason, "unknown")
        if not result.has_primal_feasible_solution():
            return Solution(status)
        objective = result.objective_value()
        return Solution(
            status,
            values=_by_column(self._program, result.variable_values()),
            objective=objective,
            bound=objective if status == "optimal" else result.dual_bound(),
        )


def solve_mixed(
    program: Program,
    objective: Mapping[int, float],
    *,
    relative_gap: float,
    time_limit_seconds: float,
    hint: Sequence[float] = (),
) -> Solution:
    """Minimise by HiGHS to the gap or until the time is up.

    A hint is a point by column; HiGHS fails on one outside the columns' bounds, so such a hint is not given.
    Where it fails all the same it is asked again without, and then answers `unknown`.
    """
    model = build_model(program, objective, relaxed=False)
    parameters = mathopt.SolveParameters(
        time_limit=timedelta(seconds=max(time_limit_seconds, 0.05)), relative_gap_tolerance=relative_gap
    )
    attempts = [None]
    if hint and _within_bounds(program, hint):
        values = {variable: hint[variable.id] for variable in model.variables()}
        hints = [mathopt.SolutionHint(variable_values=values)]
        attempts = [mathopt.ModelSolveParameters(solution_hints=hints), None]
    for model_parameters in attempts:
        try:
            result = _run(model, mathopt.SolverType.HIGHS, parameters, model_parameters)
        except SolverError:
            continue
        return _mixed_solution(program, result)
    return Solution("unknown")


def _mixed_solution(program: Program, result: mathopt.SolveResult) -> Solution:
    status = _STATUS.get(result.termination.reason, "unknown")
    if not result.has_primal_feasible_solution():
        return Solution(status)
    return Solution(
        status,
        values=_by_column(program, result.variable_values()),
        objective=result.objective_value(),
        bound=result.dual_bound(),
    )


def _within_bounds(program: Program, point: Sequence[float]) -> bool:
    return all(
        low <= value <= high for low, value, high in zip(program.lower, point, program.upper, strict=True)
    )


def build_model(program: Program, objective: Mapping[int, float], *, relaxed: bool) -> mathopt.Model:
    """Return the model without columns that are fixed at zero; identifiers are the program's indices."""
    return mathopt.Model.from_model_proto(_proto(program, objective, relaxed=relaxed))


def _proto(program: Program, objective: Mapping[int, float], *, relaxed: bool) -> model_pb2.ModelProto:
    proto = model_pb2.ModelProto()
    closed = {c for c, high in enumerate(program.upper) if high == 0.0 and program.lower[c] == 0.0}
    kept = [c for c in range(len(program.lower)) if c not in closed]
    proto.variables.ids.extend(kept)
    proto.variables.lower_bounds.extend([program.lower[c] for c in kept])
    proto.variables.upper_bounds.extend([program.upper[c] for c in kept])
    proto.variables.integers.extend([program.integer[c] and not relaxed for c in kept])
    proto.linear_constraints.ids.extend(range(len(program.rows)))
    proto.linear_constraints.lower_bounds.extend([row.lower for row in program.rows])
    proto.linear_constraints.upper_bounds.extend([row.upper for row in program.rows])
    row_ids: list[int] = []
    column_ids: list[int] = []
    coefficients: list[float] = []
    for index, row in enumerate(program.rows):
        columns, values = row.columns, row.coefficients
        if not closed.isdisjoint(columns):
            pairs = [(c, v) for c, v in zip(columns, values, strict=True) if c not in closed]
            columns, values = tuple(c for c, _ in pairs), tuple(v for _, v in pairs)
        row_ids.extend([index] * len(columns))
        column_ids.extend(columns)
        coefficients.extend(values)
    matrix = proto.linear_constraint_matrix
    matrix.row_ids.extend(row_ids)
    matrix.column_ids.extend(column_ids)
    matrix.coefficients.extend(coefficients)
    prices = sorted((c, value) for c, value in objective.items() if c not in closed)
    proto.objective.linear_coefficients.ids.extend([c for c, _ in prices])
    proto.objective.linear_coefficients.values.extend([value for _, value in prices])
    return proto


def _by_column(program: Program, values: Mapping[mathopt.Variable, float]) -> tuple[float, ...]:
    """Return values for every column of the program, zero for those left out of the model."""
    dense = [0.0] * len(program.lower)
    for variable, value in values.items():
        dense[variable.id] = value
    return tuple(dense)


def _run(
    model: mathopt.Model,
    solver: mathopt.SolverType,
    parameters: mathopt.SolveParameters,
    model_parameters: mathopt.ModelSolveParameters | None,
) -> mathopt.SolveResult:
    try:
        with _quiet_stdout():
            return mathopt.solve(model, solver, params=parameters, model_params=model_parameters)
    except (AttributeError, RuntimeError, ValueError) as error:
        raise SolverError(
            f"{solver.name} could not solve the program: {error.__context__ or error}"
        ) from error


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Keep what HiGHS prints past its own log switch out of standard output, which may be somebody's JSON."""
    with _redirecting:
        try:
            sys.stdout.flush()
            kept = os.dup(_STDOUT)
        except (OSError, ValueError, AttributeError):  # standard output is closed: nothing to keep clean
            yield
            return
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, _STDOUT)
        os.close(silent)
        try:
            yield
        finally:
            os.dup2(kept, _STDOUT)
            os.close(kept)
