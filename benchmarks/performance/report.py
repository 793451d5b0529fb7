"""Errors as tables for people, and as the file from which predictions take their expected error."""

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import yaml
from performance.fitting import group_of
from performance.measurements import JOULES, PREFILL, QUANTITIES, RATE, TPOT, Measured

from ecoserve.catalog import Catalog, load_catalog
from ecoserve.catalog.loading import split_precision
from ecoserve.performance import efficiency
from ecoserve.performance.efficiency import AcceleratorConstants
from ecoserve.performance.expected_error import class_of

_ROOT = Path(__file__).resolve().parents[2]
_HEADS = {TPOT: "TPOT", RATE: "throughput", JOULES: "J/token", PREFILL: "prefill"}
_HEAD_LINE = ["rows", "n", *(_HEADS[quantity] for quantity in QUANTITIES)]
_BEGIN, _END = "<!-- errors: begin, written by make fit-performance -->", "<!-- errors: end -->"
_FEWEST = 5
_FEWEST_TOKENS = 1024


@dataclass(frozen=True)
class Outcome:
    """Errors of one row under one way of fitting: fitted, or its family or its device kept out."""

    kind: str
    row: Measured
    log_errors: Mapping[str, float]


def error_tables(outcomes: Sequence[Outcome]) -> str:
    """Return the tables of docs/models.md, in Markdown."""
    of_family = [o for o in outcomes if o.kind == "family"]
    of_device = [o for o in outcomes if o.kind == "device"]
    ways = (("family kept out", "family"), ("accelerator kept out", "device"), ("fitted", "fitted"))
    summary = [_line(f"all, {label}", [o for o in outcomes if o.kind == kind]) for label, kind in ways]
    summary += [
        _line(f"{source}, {label}", [o for o in outcomes if o.kind == kind and o.row.source == source])
        for source in ("ML.ENERGY", "Splitwise", "aiconfigurator")
        for label, kind in ways
    ]
    summary.append(
        _line("aiconfigurator, fitted, the host's time added", [o for o in outcomes if o.kind == "with host"])
    )
    summary.append(
        _line("ML.ENERGY, short of memory or a busy host", [o for o in outcomes if o.kind == "disturbed"])
    )
    summary.append(
        _line("llama.cpp, two Sapphire Rapids, fitted", [o for o in outcomes if o.kind == "processor"])
    )
    return "\n".join(
        [
            "All rows, by what the fit had not seen:\n",
            *_table(_HEAD_LINE, summary),
            "\nBy family, itself kept out of the fit:\n",
            *_table(_HEAD_LINE, [_line(_name(group), members) for group, members in _by_group(of_family)]),
            "\nBy accelerator, itself kept out of the fit:\n",
            *_table(_HEAD_LINE, [_line(_name(group), members) for group, members in _by_group(of_device)]),
            "\nSplitwise's prefills on two and on eight devices, and the least share of its links' peak that says:\n",
            *_links_of_splitwise([o.row for o in outcomes if o.kind == "fitted" and o.row.devices_add]),
        ]
    )


def _links_of_splitwise(rows: Iterable[Measured]) -> list[str]:
    """The rate of exchanges that would explain alone what eight devices take beyond a quarter of two devices' time.

    Each of k devices sends 2·(k − 1)/k of what a block exchanges: 1.75 of it on eight, a quarter of 1 in a quarter of
    the time of two. Short prompts are left out, as other fixed times weigh there.
    """
    known = load_catalog()
    found = {(row.point.device, row.point.input_tokens, row.point.tensor_parallel): row for row in rows}
    lines = []
    for device, tokens, devices in sorted(found):
        if devices == 2 or tokens < _FEWEST_TOKENS:
            continue
        two, eight = (found[device, tokens, number].values[PREFILL] for number in (2, 8))
        model = known.model(found[device, tokens, devices].point.model)
        bytes_exchanged = 2.0 * model.layers * tokens * model.hidden_size * 2.0
        gb_per_second = 1.5 * bytes_exchanged / (eight - two / 4.0) / 1e9
        share = gb_per_second / known.accelerator(device).interconnect_gb_per_s
        times = [f"{two:.2f} s", f"{eight:.2f} s", f"{two / eight:.1f}", f"{share:.0%}"]
        lines.append([device, f"{tokens:,.0f}", *times])
    return _table(["accelerator", "tokens", "two", "eight", "times faster", "share of link"], lines)


def write_docs(tables: str) -> None:
    """Put the tables between their markers in docs/models.md."""
    path = _ROOT / "docs" / "models.md"
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    path.write_text(f"{before}{_BEGIN}\n{tables}\n{_END}{after}", encoding="utf-8")


def write_constants(constants: AcceleratorConstants) -> None:
    """Put the constants into efficiency.py, each at its place, with three digits."""
    path = Path(efficiency.__file__)
    text = path.read_text(encoding="utf-8")
    for field in fields(constants):
        value = float(f"{getattr(constants, field.name):.3g}")
        text, found = re.subn(rf"(    {field.name}: float = )\S+", rf"\g<1>{value!r}", text)
        assert found == 1, field.name
    path.write_text(text, encoding="utf-8")


def write_expected_errors(outcomes: Sequence[Outcome]) -> None:
    """Write median errors: of each class of engine, its family and its accelerator kept out, and of what was measured."""
    known = load_catalog()
    classes: dict[str, dict[str, list[float]]] = {"family": defaultdict(list), "device": defaultdict(list)}
    for outcome in outcomes:
        if outcome.kind in classes and outcome.row.source != "aiconfigurator":
            name = class_of(known.model(outcome.row.point.model), outcome.row.point.precision)
            classes[outcome.kind][name] += _absolute(outcome.log_errors.values())
    document = {
        kind: {name: round(statistics.median(v), 2) for name, v in sorted(found.items()) if len(v) >= _FEWEST}
        for kind, found in classes.items()
    }
    processor = [o for o in outcomes if o.kind == "processor"]
    document["processor"] = {
        "int4": round(statistics.median([e for o in processor for e in _absolute(o.log_errors.values())]), 2)
    }
    document["rows"] = _errors_of_rows(known, [o for o in outcomes if o.kind == "family"])
    devices = {o.row.point.device for o in outcomes if o.kind == "family" and o.row.source == "ML.ENERGY"}
    estimated = {o.row.point.device for o in outcomes if o.kind == "device"} - devices
    text = "# Median absolute relative errors, written by make fit-performance: of a class of engine whose model family\n"
    text += "# (family) or whose accelerator (device) the fit had not seen; in rows, of a model measured there, its family\n"
    text += "# kept out. measured lists accelerators with measured decode, estimated those with prefills or estimates alone.\n"
    path = Path(efficiency.__file__).with_name("expected_errors.yaml")
    path.write_text(
        text + yaml.safe_dump({**document, "measured": sorted(devices), "estimated": sorted(estimated)}),
        encoding="utf-8",
    )


def _errors_of_rows(known: Catalog, outcomes: Iterable[Outcome]) -> list[dict[str, str | float]]:
    """Median error of each model, precision and accelerator with decode measured; a model under the first of its names."""
    names: dict[float, str] = {}
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for outcome in outcomes:
        point = outcome.row.point
        if outcome.row.source == "ML.ENERGY":
            name = names.setdefault(known.model(point.model).parameters, split_precision(point.model)[0])
            found[name, point.precision, point.device] += _absolute(outcome.log_errors.values())
    return [
        {
            "model": name,
            "precision": precision,
            "accelerator": device,
            "error": round(statistics.median(errors), 2),
        }
        for (name, precision, device), errors in sorted(found.items())
        if len(errors) >= _FEWEST
    ]


def _by_group(outcomes: Iterable[Outcome]) -> list[tuple[tuple[str, str, str, str], list[Outcome]]]:
    groups: dict[tuple[str, str, str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[group_of(outcome.row)].append(outcome)
    return sorted(groups.items(), key=lambda item: (item[0][0] != "ML.ENERGY", item[0]))


def _name(group: tuple[str, str, str, str]) -> str:
    source, family, device, precision = group
    return f"{family} {precision} {device}" + ("" if source == "ML.ENERGY" else f" ({source})")


def _line(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    cells = []
    for quantity in QUANTITIES:
        errors = _absolute(o.log_errors[quantity] for o in outcomes if quantity in o.log_errors)
        cells.append(_cell(errors, quantity))
    return [name, str(len(outcomes)), *cells]


def _cell(errors: list[float], quantity: str) -> str:
    if not errors:
        return "–"
    median, worst = np.percentile(errors, [50, 90])
    missed = median > (0.15 if quantity in (JOULES, PREFILL) else 0.10) or worst > 0.30
    text = f"{median:.0%} ({worst:.0%})"
    return f"**{text}**" if missed else text


def _table(heads: Sequence[str], lines: Iterable[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(line) + " |" for line in lines),
    ]


def _absolute(log_errors: Iterable[float]) -> list[float]:
    return [abs(math.expm1(error)) for error in log_errors]
