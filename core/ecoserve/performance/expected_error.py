"""How far off predictions of a class of engine were where measurements exist; larger where there are none."""

import functools
from dataclasses import replace
from importlib import resources
from typing import Any, cast

import yaml

from ecoserve.catalog import ModelArchitecture
from ecoserve.catalog.loading import shipped_catalog
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

    For a model that was measured on that accelerator it is the error of those very rows with the model's family kept out of
    the fit. Else, on an accelerator with measurements, that of the class with a model's family kept out; on one known
    from estimates that with an accelerator kept out, if larger; elsewhere half as much again, and so for a class that
    nobody measured, from the worst that was.
    """
    errors = _errors()
    if engine.on_cpu:
        measured = engine.instance.cpu.id == _MEASURED_PROCESSOR and engine.precision in errors["processor"]
        return float(errors["processor"][engine.precision]) if measured else _PROCESSOR_WITHOUT_MEASUREMENTS
    return _on_accelerator(engine.model, engine.precision, engine.accelerator.id)


@functools.lru_cache(maxsize=4096)
def _on_accelerator(model: ModelArchitecture, precision: str, accelerator: str) -> float:
    errors = _errors()
    of_rows = _errors_of_rows().get((_shape(model), precision, accelerator))
    if of_rows is not None:
        return of_rows
    name = class_of(model, precision)
    worst = _MORE_WITHOUT_MEASUREMENTS * max(errors["family"].values())
    known = float(errors["family"].get(name, worst))
    if accelerator in errors["measured"]:
        return known
    elsewhere = max(known, float(errors["device"].get(name, worst)))
    return elsewhere * (1.0 if accelerator in errors["estimated"] else _MORE_WITHOUT_MEASUREMENTS)


def _shape(model: ModelArchitecture) -> ModelArchitecture:
    """The model without what names it: other dates and re-releases are as well known."""
    return replace(model, name="", native_precision="bf16")


@functools.cache
def _errors_of_rows() -> dict[tuple[ModelArchitecture, str, str], float]:
    known = shipped_catalog()
    return {
        (_shape(known.model(row["model"])), row["precision"], row["accelerator"]): float(row["error"])
        for row in _errors()["rows"]
    }


@functools.cache
def _errors() -> dict[str, Any]:
    text = (
        resources.files("ecoserve.performance").joinpath("expected_errors.yaml").read_text(encoding="utf-8")
    )
    return cast(dict[str, Any], yaml.safe_load(text))
