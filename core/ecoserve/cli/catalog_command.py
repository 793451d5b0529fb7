"""`ecoserve catalog`: the hardware and models that are known by name, and where each figure is from."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic.alias_generators import to_camel
from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.catalog import Accelerator, Catalog, Cpu, load_catalog
from ecoserve.catalog.hardware import UNCHECKED
from ecoserve.errors import UnknownNameError

_DIGITS = 4
_BILLION = 1e9
_NOT_FIGURES = ("sources", "measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of entry: how the catalogue gives all and one, and the figures of the list with their headings."""

    entries: Callable[[Catalog], Mapping[str, Any]]
    one: Callable[[Catalog, str], Any]
    columns: Mapping[str, str]


KINDS = {
    "accelerators": _Kind(
        entries=lambda catalog: catalog.accelerators,
        one=Catalog.accelerator,
        columns={
            "memory_gib": "GiB",
            "memory_bandwidth_gb_per_s": "GB/s",
            "bf16_tflops": "bf16 TFLOPS",
            "fp8_tflops": "fp8 TFLOPS",
            "tdp_watts": "W",
            "idle_watts": "idle W",
            "loaded_idle_watts": "loaded +W",
            "price_per_hour": "$/h",
        },
    ),
    "cpus": _Kind(
        entries=lambda catalog: catalog.cpus,
        one=Catalog.cpu,
        columns={
            "vendor": "vendor",
            "cores": "cores",
            "threads_per_core": "threads",
            "tdp_watts": "W",
            "memory_bandwidth_gb_per_s": "GB/s",
            "matrix_tflops": "TFLOPS",
        },
    ),
    "instances": _Kind(
        entries=lambda catalog: catalog.instances,
        one=Catalog.instance,
        columns={
            "vcpus": "vCPUs",
            "memory_gib": "GiB",
            "cpu": "processor",
            "accelerator_count": "cards",
            "accelerator": "of",
            "price_per_hour": "$/h",
        },
    ),
    "models": _Kind(
        entries=lambda catalog: catalog.models,
        one=Catalog.model,
        columns={
            "parameters": "parameters",
            "layers": "layers",
            "kv_heads": "KV",
            "experts": "experts",
            "native_precision": "in",
        },
    ),
}
"""The kinds by the word that the command takes."""


def run_catalog(kind: str, name: str | None, *, as_json: bool, console: Console) -> int:
    """Print the entries of a kind, or one with its sources; returns the exit status."""
    if kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    chosen, catalog = KINDS[kind], load_catalog()
    known = chosen.entries(catalog)
    entry = None if name is None else chosen.one(catalog, name)
    if as_json:
        json.dump(
            [_document(each) for each in (known.values() if entry is None else [entry])], sys.stdout, indent=2
        )
        print()
    elif entry is None:
        console.print(_listed(known, chosen.columns))
        console.print(
            f"?: {UNCHECKED} the figure. `ecoserve catalog {kind} NAME` tells all of one, with sources."
        )
    else:
        console.print(_detailed(entry))
    return 0


def _listed(known: Mapping[str, Any], columns: Mapping[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("name", overflow="fold")
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for key, entry in known.items():
        unchecked = getattr(entry, "unchecked", ())
        shown = (f"{_text(getattr(entry, name))}{' ?' if name in unchecked else ''}" for name in columns)
        table.add_row(key, *shown)
    return table


def _detailed(entry: Any) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    sources = getattr(entry, "sources", {})
    for heading in ("figure", "value", *(["source"] if sources else [])):
        table.add_column(heading, overflow="fold")
    for name, value in _figures(entry).items():
        table.add_row(to_camel(name), _text(value), *([sources.get(name, "")] if sources else []))
    return table


def _figures(entry: Any) -> dict[str, Any]:
    return {item.name: getattr(entry, item.name) for item in fields(entry) if item.name not in _NOT_FIGURES}


def _document(entry: Any) -> dict[str, Any]:
    figures = {to_camel(name): _plain(value) for name, value in _figures(entry).items()}
    sources = {to_camel(name): source for name, source in getattr(entry, "sources", {}).items()}
    unchecked = [to_camel(name) for name in getattr(entry, "unchecked", ())]
    return {**figures, **({"sources": sources, "unchecked": unchecked} if sources else {})}


def _plain(value: Any) -> Any:
    """A value as JSON takes it: another entry by its id, a shape by its figures."""
    if isinstance(value, Accelerator | Cpu):
        return value.id
    if hasattr(value, "__dataclass_fields__"):
        return {to_camel(name): inner for name, inner in _figures(value).items()}
    return value


def _text(value: Any) -> str:
    plain = _plain(value)
    if plain is None or plain in ((), ""):
        return "–"
    if isinstance(plain, tuple | list):
        return ", ".join(map(str, plain))
    if isinstance(plain, float) and plain >= _BILLION:
        return f"{plain / _BILLION:.{_DIGITS}g} bn"
    if isinstance(plain, float):
        return f"{plain:.{_DIGITS}g}" if abs(plain) < 10**_DIGITS else f"{plain:,.0f}"
    return str(plain)
