"""A catalogue file of one's own: adds accelerators, processors, instance types and models, or changes figures of them.

The form is that of the shipped files. An entry of a known name changes the figures it gives; one of a new name says
`like: NAME` and what differs, or gives everything. A figure may stand as `[value, source key]` with the keys spelled
out under `sources`; a bare one counts as stated in the file.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ecoserve.catalog.hardware import Accelerator, Cpu, InstanceType
from ecoserve.catalog.loading import (
    LISTS,
    Catalog,
    build_entry,
    build_models,
    look_up,
    shipped_catalog,
    snake_case,
)
from ecoserve.catalog.model_architecture import ModelArchitecture
from ecoserve.documents import read_document
from ecoserve.errors import InvalidInputError

_SECTIONS = ("accelerators", "cpus", "instances", "models", "sources")
_STATED = "stated in the file"
_Hardware = TypeVar("_Hardware", Accelerator, Cpu, InstanceType)


def extended_catalog(paths: Iterable[Path]) -> Catalog:
    """Return the shipped catalogue with the entries of files, later ones over earlier ones."""
    return functools.reduce(lambda catalog, path: read_overlay(path, catalog), paths, shipped_catalog())


def read_overlay(path: Path, catalog: Catalog) -> Catalog:
    """Return the catalogue with a file's entries; raises InvalidInputError naming file, entry and field."""
    document = read_document(path, "a catalogue file")
    if not isinstance(document, Mapping):
        raise InvalidInputError(str(path), document, f"an object with {', '.join(_SECTIONS)}")
    try:
        return with_entries(document, catalog, str(path))
    except InvalidInputError as error:
        raise error.within(str(path)) from None


def with_entries(document: Mapping[str, Any], catalog: Catalog, origin: str) -> Catalog:
    """Return the catalogue with the entries of a document; raises InvalidInputError naming entry and field."""
    for section, entries in document.items():
        if section not in _SECTIONS or not isinstance(entries, Mapping):
            raise InvalidInputError(str(section), entries, f"objects under {', '.join(_SECTIONS)}")
    citations = {str(key): str(text) for key, text in document.get("sources", {}).items()}
    citations[_STATED] = f"stated in {origin}"
    accelerators = dict(catalog.accelerators)
    for name, entry in _entries(document, "accelerators"):
        accelerators[name] = _hardware(Accelerator, name, entry, accelerators, citations)
    cpus = dict(catalog.cpus)
    for name, entry in _entries(document, "cpus"):
        cpus[name] = _hardware(Cpu, name, entry, cpus, citations)
    instances = dict(catalog.instances)
    for name, entry in _entries(document, "instances"):
        parts = _with_parts(name, entry, accelerators, cpus)
        instances[name] = _hardware(InstanceType, name, parts, instances, citations)
    models = dict(catalog.models)
    for name, entry in _entries(document, "models"):
        models |= {model.name: model for model in _models(name, entry, models)}
    # An instance type holds its parts: those whose parts have changed are put together anew.
    for name, instance in instances.items():
        accelerator = instance.accelerator
        instances[name] = replace(
            instance,
            cpu=cpus[instance.cpu.id],
            accelerator=None if accelerator is None else accelerators[accelerator.id],
        )
    return Catalog(accelerators=accelerators, cpus=cpus, instances=instances, models=models)


def _entries(document: Mapping[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, entry in document.get(section, {}).items():
        if not isinstance(name, str) or not name or not isinstance(entry, Mapping):
            raise InvalidInputError(f"{section}.{name}", entry, "an object of figures by name")
        found.append((name, {str(key): value for key, value in entry.items()}))
    return found


def _with_parts(
    name: str, entry: Mapping[str, Any], accelerators: Mapping[str, Accelerator], cpus: Mapping[str, Cpu]
) -> dict[str, Any]:
    parts: dict[str, Any] = dict(entry)
    for field, known in (("cpu", cpus), ("accelerator", accelerators)):
        given = parts.get(field)
        if given is not None:
            parts[field] = look_up(f"{name}.{field}", known, str(given))
    return parts


def _hardware(
    cls: type[_Hardware],
    name: str,
    entry: dict[str, Any],
    known: Mapping[str, _Hardware],
    citations: Mapping[str, str],
) -> _Hardware:
    like = entry.pop("like", name)
    base = known.get(name) if like == name else look_up(f"{name}.like", known, str(like))
    cited = {key: _cited(key, value) for key, value in entry.items()}
    if base is None:
        made = build_entry(cls, name, cited, citations)
    else:
        given = {snake_case(key): value for key, value in cited.items()}
        whole = {
            field: getattr(base, field) for field in get_type_hints(cls) if field not in ("id", "sources")
        }
        unsourced = build_entry(cls, name, whole | given, citations)
        made = replace(unsourced, sources={**base.sources, **unsourced.sources})
    _check_types(cls, made)
    return made


def _cited(key: str, value: Any) -> Any:
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return [value, _STATED] if plain and snake_case(key) not in LISTS else value


def _check_types(cls: type[Any], made: Any) -> None:
    for field, hint in get_type_hints(cls).items():
        value, names = getattr(made, field), str(hint)
        if value is None and "None" in names:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if hint is str and not (isinstance(value, str) and value):
            raise InvalidInputError(f"{made.id}.{field}", value, "a text")
        if ("float" in names or "int" in names) and not (number and 0 <= value < math.inf):
            raise InvalidInputError(f"{made.id}.{field}", value, "a number of zero or more")
        if hint is int and number and value != int(value):
            raise InvalidInputError(f"{made.id}.{field}", value, "a whole number")


def _models(
    name: str, entry: dict[str, Any], known: Mapping[str, ModelArchitecture]
) -> list[ModelArchitecture]:
    like = entry.pop("like", name)
    base = known.get(name) if like == name else look_up(f"{name}.like", known, str(like))
    for key, value in entry.items():
        if isinstance(value, str) and key != "nativePrecision":
            raise InvalidInputError(f"{name}.{key}", value, "a number")
    if base is None:
        return build_models(name, entry)
    hints = get_type_hints(ModelArchitecture)
    whole = {field: getattr(base, field) for field in hints if field != "name"}
    return build_models(name, whole | {snake_case(key): value for key, value in entry.items()})
