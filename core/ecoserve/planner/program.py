"""A mixed-integer linear program as plain rows and columns: what the formulation writes and a backend solves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf


@dataclass(frozen=True, slots=True)
class Row:
    """`lower ≤ Σ coefficient · column ≤ upper`."""

    lower: float
    upper: float
    columns: tuple[int, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """Columns with bounds and integrality, and rows; the objective is given when it is solved."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    integer: tuple[bool, ...]
    rows: tuple[Row, ...]

    def bounded(self, bounds: Mapping[int, tuple[float, float]]) -> "Program":
        """Return the program with other bounds on some columns."""
        lower, upper = list(self.lower), list(self.upper)
        for column, (low, high) in bounds.items():
            lower[column], upper[column] = low, high
        return replace(self, lower=tuple(lower), upper=tuple(upper))

    def extended(self, columns: int, *rows: Row) -> "Program":
        """Return the program with more continuous columns, from zero up, and rows on them."""
        return Program(
            self.lower + (0.0,) * columns,
            self.upper + (inf,) * columns,
            self.integer + (False,) * columns,
            self.rows + rows,
        )

    def constrained(self, *rows: Row) -> "Program":
        """Return the program with more rows."""
        return replace(self, rows=self.rows + rows)


@dataclass(slots=True)
class ProgramBuilder:
    """Collects columns and rows of a program."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def column(self, lower: float = 0.0, upper: float = inf, *, integer: bool = False) -> int:
        """Add a column and return its index."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, entries: Sequence[tuple[int, float]], lower: float = -inf, upper: float = inf) -> int:
        """Add a row and return its index; entries are (column, coefficient), each column at most once."""
        self.rows.append(row(entries, lower, upper))
        return len(self.rows) - 1

    def program(self) -> Program:
        """Return what was collected."""
        return Program(tuple(self.lower), tuple(self.upper), tuple(self.integer), tuple(self.rows))


def row(entries: Sequence[tuple[int, float]], lower: float = -inf, upper: float = inf) -> Row:
    """Return a row of (column, coefficient) entries, in column order."""
    ordered = sorted((column, value) for column, value in entries if value != 0.0)
    return Row(lower, upper, tuple(c for c, _ in ordered), tuple(v for _, v in ordered))
