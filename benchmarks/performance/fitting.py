"""Least squares of the model's constants on measured rows, and predictions of rows that a fit has not seen.

Residuals are logarithms of predicted over measured with a loss that grows linearly beyond 10 %, so that a family
the model misses does not bend the rest. Groups of many similar rows count less per row. Constants stay near
what physics says of them by a weak pull (a strong one on the share of peak throughput, which the rows tell apart
badly from prompt lengths that nobody published).
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from performance.measurements import Measured
from scipy.optimize import least_squares

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, Prediction, predict
from ecoserve.performance.accelerator_steps import AcceleratorSteps
from ecoserve.performance.efficiency import ACCELERATOR, AcceleratorConstants
from ecoserve.performance.points import engine_at

Key = Callable[[Measured], str]

PHYSICAL = AcceleratorConstants(
    bandwidth_efficiency=0.85,
    kv_efficiency=0.7,
    compute_efficiency=0.72,
    fp8_share=0.6,
    attention_compute_share=0.7,
    expert_bandwidth_share=0.9,
    expert_compute_share=0.6,
    untuned_expert_share=0.75,
    activation_passes=3.0,
    routing_shape=200.0,
    block_value_seconds=1.1e-9,
    empty_tile_share=0.4,
    link_efficiency=0.5,
    exchange_seconds_per_device=1.5e-6,
    layer_seconds=40e-6,
    launch_seconds=150e-6,
    step_seconds=1e-3,
    sequence_seconds=30e-6,
    request_seconds=3e-3,
    prefill_latency_seconds=20e-3,
    power_base=0.3,
    power_block_experts=0.5,
    joules_per_byte=70e-12,
    power_compute=1.0,
    power_compute_exponent=0.6,
    gddr_tflops_per_watt=0.58,
)
"""Where each constant is expected, before any row is seen."""

_PULL = {
    "compute_efficiency": 30.0, "bandwidth_efficiency": 8.0, "expert_bandwidth_share": 4.0, "kv_efficiency": 3.0,
    "routing_shape": 3.0, "launch_seconds": 2.0, "request_seconds": 2.0, "expert_compute_share": 2.0,
    "untuned_expert_share": 3.0, "empty_tile_share": 8.0,
    "joules_per_byte": 2.0, "fp8_share": 4.0, "attention_compute_share": 3.0, "link_efficiency": 3.0, "activation_passes": 3.0, "power_compute": 3.0, "power_compute_exponent": 3.0,
}  # fmt: skip
_WEAK_PULL = 0.5
_SOURCE_WEIGHT = {"ML.ENERGY": 1.0, "Splitwise": 0.6, "aiconfigurator": 0.25}
_TOLERATED = 0.1
_STEP = 1e-3
_NAMES = [field.name for field in fields(AcceleratorConstants)]
_MOST_SHARE = math.log(0.98)


@functools.cache
def _engine(row: Measured) -> Engine:
    engine = engine_at(row.point, load_catalog())[0]
    if not row.devices_add:
        return engine
    card = replace(engine.accelerator, interconnect_reduces=False)
    return replace(engine, instance=replace(engine.instance, accelerator=card))


@functools.lru_cache(maxsize=4)
def _without_host(constants: AcceleratorConstants) -> AcceleratorConstants:
    return replace(constants, step_seconds=0.0, sequence_seconds=0.0, request_seconds=0.0)


def predicted(row: Measured, constants: AcceleratorConstants = ACCELERATOR) -> Prediction:
    """Predict the row with those constants, without the host's time where the row has none."""
    engine, point = _engine(row), row.point
    if row.devices_alone:
        constants = _without_host(constants)
    steps = None if engine.on_cpu else AcceleratorSteps(engine, constants)
    return predict(engine, point.input_tokens, point.output_tokens, point.batch, steps)


def log_errors(row: Measured, constants: AcceleratorConstants = ACCELERATOR) -> dict[str, float]:
    """Logarithm of predicted over measured, by quantity."""
    found = predicted(row, constants)
    return {name: math.log(getattr(found, name) / value) for name, value in row.values.items()}


def fit(rows: Sequence[Measured], start: AcceleratorConstants = PHYSICAL) -> AcceleratorConstants:
    """Return the constants that fit the rows best."""
    sizes = Counter((group_of(row), name) for row in rows for name in row.values)
    weights = np.array(
        [
            _SOURCE_WEIGHT[row.source] * sizes[group_of(row), name] ** -0.25
            for row in rows
            for name in row.values
        ]
    )
    expected = np.log([getattr(PHYSICAL, name) for name in _NAMES])
    pull = np.array([_PULL.get(name, _WEAK_PULL) for name in _NAMES])
    most = np.array([_MOST_SHARE if "efficiency" in n or "share" in n else np.inf for n in _NAMES])
    x0 = np.minimum(np.log([getattr(start, name) for name in _NAMES]), most - 1e-3)
    moved = _rows_moved(rows, x0)

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([_robust(_errors(rows, x) * weights / _TOLERATED), (x - expected) * pull])

    def jacobian(x: NDArray[np.float64]) -> NDArray[np.float64]:
        base = _errors(rows, x)
        slopes = np.zeros((len(base), len(x)))
        for j, (members, places) in enumerate(moved):
            slopes[places, j] = (_errors(members, x + _STEP * np.eye(len(x))[j]) - base[places]) / _STEP
        scaled = base * weights / _TOLERATED
        return np.concatenate(
            [_robust_slope(scaled)[:, None] * slopes * weights[:, None] / _TOLERATED, np.diag(pull)]
        )

    found = least_squares(residuals, x0, jacobian, bounds=(-np.inf, most), max_nfev=30, ftol=1e-5)
    return _constants(found.x)


def _errors(rows: Sequence[Measured], x: NDArray[np.float64]) -> NDArray[np.float64]:
    constants = _constants(x)
    return np.array([error for row in rows for error in log_errors(row, constants).values()])


def _rows_moved(
    rows: Sequence[Measured], x: NDArray[np.float64]
) -> list[tuple[list[Measured], NDArray[np.int64]]]:
    """For each constant the rows that it moves, and the places of their values: most constants concern a part of them."""
    owners = np.array([i for i, row in enumerate(rows) for _ in row.values])
    base, found = _errors(rows, x), []
    for direction in np.eye(len(x)):
        hit = (_errors(rows, x + 0.5 * direction) != base) | (_errors(rows, x - 0.5 * direction) != base)
        members = np.unique(owners[hit])
        found.append(([rows[i] for i in members], np.flatnonzero(np.isin(owners, members))))
    return found


def _robust(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed root of a loss that is a square near zero and linear beyond one."""
    return np.sign(scaled) * np.sqrt(2.0 * (np.sqrt(1.0 + scaled**2) - 1.0))


def _robust_slope(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    steepness = np.sqrt(1.0 + scaled**2)
    return np.sqrt((1.0 + steepness) / 2.0) / steepness


def _constants(x: NDArray[np.float64]) -> AcceleratorConstants:
    return replace(PHYSICAL, **{name: float(np.exp(value)) for name, value in zip(_NAMES, x, strict=True)})


def group_of(row: Measured) -> tuple[str, str, str, str]:
    """What is reported as one line: source, family, device, precision."""
    return row.source, row.family, row.point.device, row.point.precision


@dataclass(frozen=True)
class Fold:
    """What is kept out of one fit."""

    kept_out_by: Key
    value: str

    def errors(
        self, rows: Sequence[Measured], start: AcceleratorConstants
    ) -> list[tuple[Measured, dict[str, float]]]:
        """Fit without the rows of this fold and return their errors."""
        constants = fit([row for row in rows if self.kept_out_by(row) != self.value], start)
        return [(row, log_errors(row, constants)) for row in rows if self.kept_out_by(row) == self.value]
