"""A mixed-integer linear program as arrays: what the formulation writes and a backend solves.

Entries of the matrix are kept row by row, and within a row column by column. Programs are values: every change
returns another one that shares what stays the same.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """`lower ≤ Σ coefficient · column ≤ upper`, columns in order."""

    lower: float
    upper: float
    columns: Indices
    coefficients: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Columns with bounds and integrality, and rows; the objective is given when it is solved."""

    lower: Vector
    upper: Vector
    integer: Flags
    row_lower: Vector
    row_upper: Vector
    entry_rows: Indices
    entry_columns: Indices
    entry_values: Vector

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.lower)

    @property
    def open(self) -> Flags:
        """Which columns are not fixed at zero."""
        free: Flags = (self.lower != 0.0) | (self.upper != 0.0)
        return free

    def bounded(self, bounds: Mapping[int, tuple[float, float]]) -> "Program":
        """Return the program with other bounds on some columns."""
        lower, upper = self.lower.copy(), self.upper.copy()
        for column, (low, high) in bounds.items():
            lower[column], upper[column] = low, high
        return replace(self, lower=lower, upper=upper)

    def capped(self, upper: Vector) -> "Program":
        """Return the program with these upper bounds where they are lower than its own."""
        return replace(self, upper=np.minimum(self.upper, upper))

    def closed(self, columns: Flags | Indices | list[int]) -> "Program":
        """Return the program with columns fixed at zero."""
        lower, upper = self.lower.copy(), self.upper.copy()
        lower[columns] = upper[columns] = 0.0
        return replace(self, lower=lower, upper=upper)

    def extended(self, columns: int, *rows: Row, upper: float = inf, integer: bool = False) -> "Program":
        """Return the program with more columns, from zero up, and rows on them."""
        wider = replace(
            self,
            lower=np.append(self.lower, np.zeros(columns)),
            upper=np.append(self.upper, np.full(columns, upper)),
            integer=np.append(self.integer, np.full(columns, integer)),
        )
        return wider.constrained(*rows)

    def constrained(self, *rows: Row) -> "Program":
        """Return the program with more rows."""
        first = len(self.row_lower)
        sizes = [len(item.columns) for item in rows]
        return replace(
            self,
            row_lower=np.append(self.row_lower, [item.lower for item in rows]),
            row_upper=np.append(self.row_upper, [item.upper for item in rows]),
            entry_rows=np.append(self.entry_rows, np.repeat(np.arange(first, first + len(rows)), sizes)),
            entry_columns=np.concatenate([self.entry_columns, *(item.columns for item in rows)]),
            entry_values=np.concatenate([self.entry_values, *(item.coefficients for item in rows)]),
        )

    def reduced_costs(self, objective: Vector, duals: Vector) -> Vector:
        """Return what each column costs beyond the rows' prices."""
        paid = np.bincount(
            self.entry_columns, self.entry_values * duals[self.entry_rows], minlength=self.columns
        )
        return objective - paid


@dataclass(slots=True)
class ProgramBuilder:
    """Collects columns and rows of a program, one by one or in blocks."""

    lower: "array[float]" = field(default_factory=lambda: array("d"))
    upper: "array[float]" = field(default_factory=lambda: array("d"))
    integer: bytearray = field(default_factory=bytearray)
    row_lower: "array[float]" = field(default_factory=lambda: array("d"))
    row_upper: "array[float]" = field(default_factory=lambda: array("d"))
    entry_rows: "array[int]" = field(default_factory=lambda: array("q"))
    entry_columns: "array[int]" = field(default_factory=lambda: array("q"))
    entry_values: "array[float]" = field(default_factory=lambda: array("d"))

    def column(self, lower: float = 0.0, upper: float = inf, *, integer: bool = False) -> int:
        """Add a column and return its index."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(integer)
        return len(self.lower) - 1

    def block(self, upper: Vector, *, integer: bool = False) -> int:
        """Add columns from zero up and return the index of the first."""
        first = len(self.lower)
        self.lower.frombytes(bytes(8 * len(upper)))
        self.upper.frombytes(upper.astype(np.float64).tobytes())
        self.integer.extend(bytes([integer]) * len(upper))
        return first

    def row(self, entries: Iterable[tuple[int, float]], lower: float = -inf, upper: float = inf) -> int:
        """Add a row and return its index; entries are (column, coefficient), each column at most once."""
        added = row(entries, lower, upper)
        return self.rows(
            np.zeros(len(added.columns), np.int64), added.columns, added.coefficients, [lower], [upper]
        )

    def rows(
        self, rows: Indices, columns: Indices, values: Vector, lower: ArrayLike, upper: ArrayLike
    ) -> int:
        """Add rows, counted from zero in `rows`, and return the index of the first; entries come in any order."""
        first = len(self.row_lower)
        order = entry_order(rows, columns)
        if order is not None:
            rows, columns, values = rows[order], columns[order], values[order]
        self.row_lower.frombytes(np.asarray(lower, np.float64).tobytes())
        self.row_upper.frombytes(np.asarray(upper, np.float64).tobytes())
        self.entry_rows.frombytes((rows + first).astype(np.int64).tobytes())
        self.entry_columns.frombytes(columns.astype(np.int64).tobytes())
        self.entry_values.frombytes(values.astype(np.float64).tobytes())
        return first

    def append(self, program: Program, lower: Vector) -> int:
        """Add all columns, with lower bounds of their own, and rows of a program; return its first column."""
        first = len(self.lower)
        self.lower.frombytes(lower.tobytes())
        self.upper.frombytes(program.upper.tobytes())
        self.integer.extend(program.integer.tobytes())
        self.rows(
            program.entry_rows,
            program.entry_columns + first,
            program.entry_values,
            program.row_lower,
            program.row_upper,
        )
        return first

    def program(self) -> Program:
        """Return what was collected."""
        return Program(
            np.array(self.lower, np.float64),
            np.array(self.upper, np.float64),
            np.frombuffer(bytes(self.integer), np.bool_),
            np.array(self.row_lower, np.float64),
            np.array(self.row_upper, np.float64),
            np.array(self.entry_rows, np.int64),
            np.array(self.entry_columns, np.int64),
            np.array(self.entry_values, np.float64),
        )


def row(entries: Iterable[tuple[int, float]], lower: float = -inf, upper: float = inf) -> Row:
    """Return a row of (column, coefficient) entries."""
    ordered = sorted((column, value) for column, value in entries if value != 0.0)
    columns = np.array([column for column, _ in ordered], np.int64)
    return Row(lower, upper, columns, np.array([value for _, value in ordered], np.float64))


def dense_row(coefficients: Vector, lower: float = -inf, upper: float = inf) -> Row:
    """Return a row of coefficients by column."""
    columns = np.flatnonzero(coefficients)
    return Row(lower, upper, columns, coefficients[columns])


def entry_order(rows: Indices, columns: Indices) -> Indices | None:
    """Return the order of entries by row, then column; None where they are in it already."""
    steps = np.diff(rows)
    if bool(np.all((steps > 0) | ((steps == 0) & (np.diff(columns) > 0)))):
        return None
    return np.lexsort((columns, rows))


def distinct(keys: Indices) -> tuple[Indices, Indices, Indices]:
    """Return the distinct keys in order, the place of each key among them, and where each occurs first.

    What `numpy.unique` does, without the masked arrays that it imports at its first call.
    """
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    new = np.append(np.ones(min(1, len(keys)), np.bool_), np.diff(ranked) != 0)
    places = np.empty(len(keys), np.int64)
    places[order] = np.cumsum(new) - 1
    return ranked[new], places, order[new]
