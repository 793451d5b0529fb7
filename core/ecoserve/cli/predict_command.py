"""`ecoserve predict`: what to expect of a model on devices at given lengths and batch, for one point or many."""

import csv
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.api.manifests import load_manifests
from ecoserve.catalog import Catalog, MeasuredProfile, load_catalog
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve.fleet.hardware import check_profile, hardware_of_profile
from ecoserve.performance import OperatingPoint, PointPrediction, predict_point

_T = TypeVar("_T")
_SAME_SHARE = 0.05
COLUMNS = (
    "model", "gpu", "gpus", "tensor_parallel", "precision", "input_tokens", "output_tokens", "batch",
)  # fmt: skip


def predict_request(
    model: str | None,
    gpu: str | None,
    cpu: str | None,
    gpus: int | None,
    tensor_parallel: int,
    precision: str,
    input_tokens: float | None,
    output_tokens: float | None,
    batch: float,
) -> OperatingPoint:
    """Return the point that options name; raises InvalidInputError for the first that is missing or wrong."""
    if (gpu is None) == (cpu is None):
        given = "neither" if gpu is None else f"{gpu}, {cpu}"
        raise InvalidInputError("--gpu, --cpu", given, "exactly one of them, or --points FILE")
    return OperatingPoint(
        model=_needed("--model", model),
        device=gpu or cpu or "",
        gpus=gpus if gpus is not None else (2 if cpu else tensor_parallel),
        tensor_parallel=tensor_parallel,
        precision=precision,
        input_tokens=_needed("--input", input_tokens),
        output_tokens=_needed("--output-tokens", output_tokens),
        batch=batch,
    )


def _needed(option: str, value: _T | None) -> _T:
    if value is None:
        raise InvalidInputError(option, None, "needed for one point; many come by --points FILE")
    return value


def run_predict(point: OperatingPoint, profiles: Sequence[Path], *, as_json: bool, console: Console) -> int:
    """Predict one point and print it; returns the exit status."""
    catalog = load_catalog()
    found = predict_point(point, catalog, measured_on(profiles, catalog)(point))
    if as_json:
        json.dump(_document(found), sys.stdout, indent=2)
        print()
    else:
        console.print(_table([point], [found]))
    return 0


def run_predict_many(path: Path, profiles: Sequence[Path], *, as_json: bool, console: Console) -> int:
    """Predict every row of a CSV file in its order; a row that can't be predicted says why."""
    catalog = load_catalog()
    measured = measured_on(profiles, catalog)
    points: list[OperatingPoint | None] = []
    outcomes: list[PointPrediction | str] = []
    for row in _rows(path):
        point: OperatingPoint | None = None
        outcome: PointPrediction | str
        try:
            point = _point(row)
            outcome = predict_point(point, catalog, measured(point))
        except EcoserveError as error:
            outcome = str(error)
        points.append(point)
        outcomes.append(outcome)
    if as_json:
        json.dump([_outcome_document(outcome) for outcome in outcomes], sys.stdout, indent=2)
        print()
    else:
        console.print(_table(points, outcomes))
    return 0


def measured_on(
    paths: Sequence[Path], catalog: Catalog
) -> Callable[[OperatingPoint], tuple[MeasuredProfile, ...]]:
    """Read HardwareProfiles; what comes back tells what was measured on the device of a point.

    A share of a host is given in vCPUs there; a point names sockets, all of whose cores count.
    """
    on_cards: list[tuple[str, MeasuredProfile]] = []
    on_hosts: list[tuple[str, float, MeasuredProfile]] = []
    for profile in load_manifests(paths).profiles if paths else ():
        check_profile(profile, catalog)
        instance = hardware_of_profile(profile.metadata.name, profile.spec, catalog).instance
        for item in instance.measured:
            if item.tensor_parallel and instance.accelerator is not None:
                on_cards.append((instance.accelerator.id, item))
            elif item.vcpus:
                sockets = item.vcpus / instance.vcpus * instance.sockets
                on_hosts.append((instance.cpu.id, sockets, item))

    def found(point: OperatingPoint) -> tuple[MeasuredProfile, ...]:
        cards = [item for device, item in on_cards if device == point.device]
        hosts = [
            replace(item, vcpus=point.gpus * catalog.cpu(cpu).cores)
            for cpu, sockets, item in on_hosts
            if cpu == point.device and math.isclose(sockets, point.gpus, rel_tol=_SAME_SHARE)
        ]
        return (*cards, *hosts)

    return found


def _rows(path: Path) -> list[dict[str | Any, str | Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or ()]
            missing = [name for name in COLUMNS if name not in header]
            if missing:
                accepted = f"the header must name {', '.join(COLUMNS)}; missing: {', '.join(missing)}"
                raise InvalidInputError("--points", str(path), accepted)
            reader.fieldnames = header
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError("--points", str(path), f"a CSV file that can be read ({error})") from None


def _point(row: Mapping[str | Any, str | Any]) -> OperatingPoint:
    if None in row or any(row[name] is None for name in COLUMNS):
        raise InvalidInputError("row", _given(row), "as many cells as the header has")
    text = {name: str(row[name]).strip() for name in COLUMNS}
    return OperatingPoint(
        model=text["model"],
        device=text["gpu"],
        gpus=_whole("gpus", text["gpus"]),
        tensor_parallel=_whole("tensor_parallel", text["tensor_parallel"]),
        precision=text["precision"],
        input_tokens=_number("input_tokens", text["input_tokens"]),
        output_tokens=_number("output_tokens", text["output_tokens"]),
        batch=_number("batch", text["batch"]),
    )


def _given(row: Mapping[str | Any, str | Any]) -> str:
    return ",".join(str(value) for value in row.values() if value is not None)


def _number(field: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInputError(field, text, "a number")
    return value


def _whole(field: str, text: str) -> int:
    value = _number(field, text)
    if value != int(value):
        raise InvalidInputError(field, text, "a whole number")
    return int(value)


def _outcome_document(outcome: PointPrediction | str) -> dict[str, Any]:
    return {"error": outcome} if isinstance(outcome, str) else _document(outcome)


def _document(found: PointPrediction) -> dict[str, Any]:
    figures = found.prediction
    return {
        "prefillSeconds": figures.prefill_seconds,
        "tpotSeconds": figures.tpot_seconds,
        "outputTokensPerSecond": figures.output_tokens_per_second,
        "powerWatts": figures.power_watts,
        "joulesPerOutputToken": figures.joules_per_output_token,
        "source": str(found.source),
        "expectedError": found.expected_error,
    }


def _table(points: list[OperatingPoint | None], outcomes: list[PointPrediction | str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("point", overflow="fold")
    for name in ("prefill s", "TPOT ms", "tokens/s", "W", "J/token"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("source, error")
    for row, (point, outcome) in enumerate(zip(points, outcomes, strict=True), start=1):
        name = f"row {row}" if point is None else _name(point)
        if isinstance(outcome, str):
            table.add_row(f"{name}: {outcome}", *("–",) * 5, "error")
            continue
        figures = outcome.prediction
        table.add_row(
            name,
            f"{figures.prefill_seconds:.3g}",
            f"{figures.tpot_seconds * 1000:.3g}",
            f"{figures.output_tokens_per_second:.4g}",
            f"{figures.power_watts:.0f}",
            f"{figures.joules_per_output_token:.3g}",
            f"{outcome.source}, ±{outcome.expected_error:.0%}",
        )
    return table


def _name(point: OperatingPoint) -> str:
    devices = f"{point.gpus} × {point.device}"
    lengths = f"{point.input_tokens:g} in, {point.output_tokens:g} out, batch {point.batch:g}"
    return f"{point.model} {point.precision} on {devices}, {lengths}"
