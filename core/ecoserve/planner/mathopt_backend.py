"""The one module that talks to OR-Tools: linear programs by GLOP, mixed-integer programs by SCIP and HiGHS.

MathOpt is called below its Python objects, with protocol buffers filled from arrays: objects take longer than the
solving does on programs of this size. HiGHS behind MathOpt rejects a number of threads, so none is set.

Mixed programs go to SCIP without presolve and cuts: a few integers beside many shares of slices are branched on
faster than they are prepared for. Very large ones, and what SCIP leaves open, go to HiGHS.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from ortools.math_opt import (  # type: ignore[import-untyped]
    callback_pb2,
    model_parameters_pb2,
    model_pb2,
    model_update_pb2,
    parameters_pb2,
    result_pb2,
    solution_pb2,
    sparse_containers_pb2,
)
from ortools.math_opt.core.python import solver as core  # type: ignore[import-untyped]
from pybind11_abseil.status import StatusNotOk  # type: ignore[import-untyped]

from ecoserve.errors import EcoserveError
from ecoserve.planner.program import Indices, Program, Vector, entry_order

Status = Literal["optimal", "feasible", "infeasible", "unknown"]

_STATUS: dict[int, Status] = {
    result_pb2.TERMINATION_REASON_OPTIMAL: "optimal",
    result_pb2.TERMINATION_REASON_FEASIBLE: "feasible",
    result_pb2.TERMINATION_REASON_INFEASIBLE: "infeasible",
    # every objective here is bounded below
    result_pb2.TERMINATION_REASON_INFEASIBLE_OR_UNBOUNDED: "infeasible",
}

_QUICK = 80_000
"""Open columns up to which a mixed program goes to SCIP first, for this share of the time."""
_QUICK_SHARE = 0.5
_NEARLY = 2.0
"""Times the gap that is asked for: as near as this, HiGHS would mostly prove for a second what SCIP has found."""
_QUICK_NODES = 10
"""Nodes that SCIP looks into in about the time that HiGHS takes for one, which it prepares for and cuts."""
_SIMPLEX = {
    dual: parameters_pb2.SolveParametersProto(
        presolve=parameters_pb2.EMPHASIS_OFF,  # it would forget the basis
        lp_algorithm=parameters_pb2.LP_ALGORITHM_DUAL_SIMPLEX
        if dual
        else parameters_pb2.LP_ALGORITHM_PRIMAL_SIMPLEX,
    )
    for dual in (False, True)
}
_SPARSE = model_parameters_pb2.ModelSolveParametersProto(
    variable_values_filter=sparse_containers_pb2.SparseVectorFilterProto(skip_zero_values=True),
    dual_values_filter=sparse_containers_pb2.SparseVectorFilterProto(skip_zero_values=True),
    reduced_costs_filter=sparse_containers_pb2.SparseVectorFilterProto(filter_by_ids=True),
)
"""Of an LP's answer only what is not zero, and no reduced costs: handing them over took longer than pivoting."""
_STDOUT = 1
_redirecting = threading.Lock()


class SolverError(EcoserveError):
    """The solver itself failed; its message is passed on."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A solver's answer: a point by column (None without a feasible one), a lower bound, duals of an LP by row."""

    status: Status
    point: Vector | None = None
    objective: float = 0.0
    bound: float = 0.0
    duals: Vector | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The point as plain numbers, empty without one."""
        return () if self.point is None else tuple(self.point.tolist())


def solve_linear(program: Program, objective: Vector) -> Solution:
    """Minimise the linear relaxation by GLOP; duals by row come along."""
    return LinearSession(program, objective, np.flatnonzero(program.open)).solve()


@dataclass(slots=True, eq=False)
class LinearSession:
    """A linear relaxation that stays with GLOP, which starts each solve where the last one ended.

    It knows only some columns of the program at first; others are added, and prices and bounds changed, between
    solves. New columns and prices leave the last point feasible, so the primal simplex goes on from there; new
    bounds leave its prices feasible, and the dual one does.
    """

    program: Program
    objective: Vector
    columns: Indices
    _solver: Any = field(init=False)
    _places: Indices = field(init=False)
    _dual: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._places = np.full(self.program.columns, -1, np.int64)
        self._places[self.columns] = np.arange(len(self.columns))
        with _explained("GLOP"):
            self._solver = core.new(
                parameters_pb2.SOLVER_TYPE_GLOP,
                model_proto(self.program, self.objective, self.columns, relaxed=True),
                parameters_pb2.SolverInitializerProto(),
            )

    def add(self, columns: Indices) -> None:
        """Let the program use more of its columns, given in order."""
        first = len(self.columns)
        self._places[columns] = np.arange(first, first + len(columns))
        self.columns = np.append(self.columns, columns)
        update = model_update_pb2.ModelUpdateProto()
        _fill_variables(update.new_variables, self.program, columns, first, relaxed=True)
        ids = np.arange(first, first + len(columns))
        _fill(update.objective_updates.linear_coefficients, ids, self.objective[columns])
        places = self._places[self.program.entry_columns]
        _fill_matrix(update.linear_constraint_matrix_updates, self.program, places, places >= first)
        self._update(update)
        self._dual = False

    def reprice(self, prices: Mapping[int, float]) -> None:
        """Change objective coefficients."""
        self.objective = self.objective.copy()
        for column, price in prices.items():
            self.objective[column] = price
        columns = np.array(sorted(c for c in prices if self._places[c] >= 0), np.int64)
        columns = columns[np.argsort(self._places[columns])]
        update = model_update_pb2.ModelUpdateProto()
        _fill(update.objective_updates.linear_coefficients, self._places[columns], self.objective[columns])
        self._update(update)
        self._dual = False

    def rebound(self, columns: Indices, lower: Vector, upper: Vector) -> None:
        """Change the bounds of columns that it knows."""
        self.program = replace(self.program, lower=self.program.lower.copy(), upper=self.program.upper.copy())
        self.program.lower[columns], self.program.upper[columns] = lower, upper
        order = np.argsort(self._places[columns])
        places = self._places[columns][order]
        update = model_update_pb2.ModelUpdateProto()
        _fill(update.variable_updates.lower_bounds, places, lower[order])
        _fill(update.variable_updates.upper_bounds, places, upper[order])
        self._update(update)
        self._dual = True

    def solve(self, *, dual: bool = False) -> Solution:
        """Minimise, by the dual simplex where bounds have changed or it is asked for."""
        with _explained("GLOP"):
            result = self._solver.solve(
                _SIMPLEX[dual or self._dual],
                _SPARSE,
                None,
                callback_pb2.CallbackRegistrationProto(),
                None,
                None,
            )
        return _solution(result, self.program, self.columns)

    def _update(self, update: model_update_pb2.ModelUpdateProto) -> None:
        with _explained("GLOP"):
            if not self._solver.update(update):
                raise SolverError("GLOP refused a change of its program")


def solve_mixed(
    program: Program,
    objective: Vector | Mapping[int, float],
    *,
    relative_gap: float,
    time_limit_seconds: float,
    hint: Sequence[float] | Vector = (),
    most_nodes: int | None = None,
) -> Solution:
    """Minimise to the gap or until the time is up, or SCIP has looked into `most_nodes` and HiGHS into a tenth of them.

    Where nodes run out before the time does, the answer is the same however busy the machine is; HiGHS is asked then only where
    SCIP has left more than twice the gap.

    A hint is a point by column; HiGHS fails on one outside the columns' bounds, so such a hint is not given.
    Where it fails all the same it is asked again without, and then answers `unknown`.
    """
    prices = objective if isinstance(objective, np.ndarray) else _dense(program, objective)
    columns = np.flatnonzero(program.open)
    model = model_proto(program, prices, columns, relaxed=False)
    point = np.asarray(hint, np.float64)
    hinted = model_parameters_pb2.ModelSolveParametersProto()
    if len(point) and bool(np.all((program.lower <= point) & (point <= program.upper))):
        hinted = _hinted(columns, point)
    limit = max(time_limit_seconds, 0.05)
    known: Solution | None = None
    if len(columns) <= _QUICK:
        quick = _parameters(relative_gap, limit * _QUICK_SHARE, most_nodes)
        quick.threads = 1
        quick.presolve = quick.cuts = parameters_pb2.EMPHASIS_OFF
        quick.heuristics = parameters_pb2.EMPHASIS_LOW
        known = _mixed("GSCIP", program, columns, model, quick, hinted)
        if known is not None and known.status in ("optimal", "infeasible"):
            return known
        if known is not None and most_nodes is not None and _within(known, _NEARLY * relative_gap):
            return known
        limit *= 1 - _QUICK_SHARE
        if known is not None and known.point is not None:
            hinted = _hinted(columns, np.clip(known.point, program.lower, program.upper))
    parameters = _parameters(relative_gap, limit, most_nodes and -(-most_nodes // _QUICK_NODES))
    plain = model_parameters_pb2.ModelSolveParametersProto()
    for start in (hinted, plain) if hinted.solution_hints else (plain,):
        found = _mixed("HIGHS", program, columns, model, parameters, start)
        if found is not None:
            return _better(found, known)
    return known or Solution("unknown")


def _hinted(columns: Indices, point: Vector) -> model_parameters_pb2.ModelSolveParametersProto:
    hinted = model_parameters_pb2.ModelSolveParametersProto()
    _fill(hinted.solution_hints.add().variable_values, np.arange(len(columns)), point[columns])
    return hinted


def _within(found: Solution, gap: float) -> bool:
    return found.point is not None and found.objective - found.bound <= gap * abs(found.objective)


def _better(found: Solution, known: Solution | None) -> Solution:
    """Return the better point of two answers to the same program, with the better bound."""
    if known is None or known.point is None:
        return found
    if found.point is None:
        return known
    best = min(found, known, key=lambda solution: solution.objective)
    return replace(best, status=found.status, bound=max(found.bound, known.bound))


def _mixed(
    solver: str,
    program: Program,
    columns: Indices,
    model: model_pb2.ModelProto,
    parameters: parameters_pb2.SolveParametersProto,
    start: model_parameters_pb2.ModelSolveParametersProto,
) -> Solution | None:
    """Return the answer of a solver, None where it failed."""
    try:
        with _quiet_stdout(), _explained(solver):
            result = core.solve(
                model,
                parameters_pb2.SolverTypeProto.Value(f"SOLVER_TYPE_{solver}"),
                parameters_pb2.SolverInitializerProto(),
                parameters,
                start,
                None,
                callback_pb2.CallbackRegistrationProto(),
                None,
                None,
            )
    except SolverError:
        return None
    return _solution(result, program, columns)


def _parameters(
    relative_gap: float, seconds: float, nodes: int | None
) -> parameters_pb2.SolveParametersProto:
    parameters = parameters_pb2.SolveParametersProto(relative_gap_tolerance=relative_gap, node_limit=nodes)
    parameters.time_limit.FromTimedelta(timedelta(seconds=seconds))
    return parameters


def _solution(result: result_pb2.SolveResultProto, program: Program, columns: Indices) -> Solution:
    status = _STATUS.get(result.termination.reason, "unknown")
    feasible = solution_pb2.SOLUTION_STATUS_FEASIBLE
    found = result.solutions[0] if result.solutions else None
    if found is None or found.primal_solution.feasibility_status != feasible:
        return Solution(status)
    point = np.zeros(program.columns)
    values = found.primal_solution.variable_values
    point[columns[np.array(values.ids[:], np.int64)]] = np.array(values.values, np.float64)
    objective = found.primal_solution.objective_value
    duals = None
    if found.dual_solution.feasibility_status == feasible:
        duals = np.zeros(len(program.row_lower))
        prices = found.dual_solution.dual_values
        duals[np.array(prices.ids[:], np.int64)] = np.array(prices.values, np.float64)
    bound = result.termination.objective_bounds.dual_bound
    linear = found.HasField("dual_solution")
    return Solution(status, point, objective, objective if linear and status == "optimal" else bound, duals)


def model_proto(
    program: Program, objective: Vector, columns: Indices, *, relaxed: bool
) -> model_pb2.ModelProto:
    """Return MathOpt's model of some columns, given in order; identifiers are their places."""
    proto = model_pb2.ModelProto()
    _fill_variables(proto.variables, program, columns, 0, relaxed=relaxed)
    rows = len(program.row_lower)
    proto.linear_constraints.ids.extend(range(rows))
    proto.linear_constraints.lower_bounds.extend(program.row_lower.tolist())
    proto.linear_constraints.upper_bounds.extend(program.row_upper.tolist())
    places = np.full(program.columns, -1, np.int64)
    places[columns] = np.arange(len(columns))
    places = places[program.entry_columns]
    _fill_matrix(proto.linear_constraint_matrix, program, places, places >= 0)
    _fill(proto.objective.linear_coefficients, np.arange(len(columns)), objective[columns])
    return proto


def _fill_variables(variables: Any, program: Program, columns: Indices, first: int, *, relaxed: bool) -> None:
    variables.ids.extend(range(first, first + len(columns)))
    variables.lower_bounds.extend(program.lower[columns].tolist())
    variables.upper_bounds.extend(program.upper[columns].tolist())
    variables.integers.extend([False] * len(columns) if relaxed else program.integer[columns].tolist())


def _fill_matrix(matrix: Any, program: Program, places: Indices, chosen: Any) -> None:
    rows, columns = program.entry_rows[chosen], places[chosen]
    values = program.entry_values[chosen]
    order = entry_order(rows, columns)
    if order is not None:
        rows, columns, values = rows[order], columns[order], values[order]
    matrix.row_ids.extend(rows.tolist())
    matrix.column_ids.extend(columns.tolist())
    matrix.coefficients.extend(values.tolist())


def _fill(sparse: Any, ids: Indices, values: Vector) -> None:
    sparse.ids.extend(ids.tolist())
    sparse.values.extend(values.tolist())


def _dense(program: Program, objective: Mapping[int, float]) -> Vector:
    prices = np.zeros(program.columns)
    for column, price in objective.items():
        prices[column] = price
    return prices


@contextmanager
def _explained(solver: str) -> Iterator[None]:
    """Turn what OR-Tools raises into an error with its message."""
    try:
        yield
    except (AttributeError, RuntimeError, ValueError, StatusNotOk) as error:
        raise SolverError(f"{solver} could not solve the program: {error.__context__ or error}") from error


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
