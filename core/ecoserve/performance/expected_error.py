"""How far off predictions of a class of engine were where measurements exist; larger where there are none."""

import functools
from importlib import resources
from typing import Any, cast

import yaml

from ecoserve.catalog import ModelArchitecture
from ecoserve.performance.engine import Engine

_MEASURED_PROCESSOR = "xeon-8480plus"
_MORE_WITHOUT_MEASUREMENTS = 1.5
_PROCESSOR_WITHOUT_MEASUREMENTS = 0.4


def class_of(model: ModelArchitecture, precision: str) -> str:
    """Name the class by which errors are kept, such as `mixture fp8`."""
    kind = "mixture" if model.experts else "hybrid" if model.state_space is not None else "dense"
    return f"{kind} {'bf16' if precision == 'fp16' else precision}"


def expected_error(engine: Engine) -> float:
    """Median absolute relative error to expect of TPOT, throughput and energy per token on `engine`.

    On an accelerator with measurements it is that of the class with the model's family kept out of the fit; on
    one known from estimates that with an accelerator kept out, if larger; elsewhere half as much again, and so for
    a class that nobody measured, from the worst that was.
    """
    errors = _errors()
    if engine.on_cpu:
        measured = engine.instance.cpu.id == _MEASURED_PROCESSOR and engine.precision in errors["processor"]
        return float(errors["processor"][engine.precision]) if measured else _PROCESSOR_WITHOUT_MEASUREMENTS
    name = class_of(engine.model, engine.precision)
    worst = _MORE_WITHOUT_MEASUREMENTS * max(errors["family"].values())
    known = float(errors["family"].get(name, worst))
    if engine.accelerator.id in errors["measured"]:
        return known
    elsewhere = max(known, float(errors["device"].get(name, worst)))
    return elsewhere * (1.0 if engine.accelerator.id in errors["estimated"] else _MORE_WITHOUT_MEASUREMENTS)


@functools.cache
def _errors() -> dict[str, Any]:
    text = (
        resources.files("ecoserve.performance").joinpath("expected_errors.yaml").read_text(encoding="utf-8")
    )
    return cast(dict[str, Any], yaml.safe_load(text))
