"""The catalogue: YAML files of cited figures, read once into frozen values.

A number stands as `[value, source key]` and each file spells its source keys out, so that no figure can
enter without one. YAML names are camelCase, the fields' names are their snake_case.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from importlib import resources
from typing import Any, TypeVar, cast

import yaml

from ecoserve.catalog.hardware import Accelerator, Cpu, InstanceType
from ecoserve.catalog.model_architecture import ModelArchitecture, StateSpace
from ecoserve.errors import InvalidInputError, UnknownNameError

_T = TypeVar("_T")

LISTS = ("product_labels", "cpu_models")

_PRECISION_SUFFIXES = tuple(
    (re.compile(f"[-_.](?:{pattern})$", re.IGNORECASE), precision)
    for pattern, precision in (
        ("(?:dynamic-)?fp8(?:-dynamic|-kv)?", "fp8"),
        ("gptq-int8|(?:quantized[.])?w8a8|(?:quantized[.])?w8a16|int8", "int8"),
        ("awq(?:-int4)?|gptq(?:-int4)?|(?:quantized[.])?w4a16|int4|bnb-4bit|q4_k_m(?:-gguf)?", "int4"),
        ("mxfp4", "mxfp4"),
        ("bf16", "bf16"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All known accelerators, processors, instance types and models by id (models by Hugging Face name)."""

    accelerators: Mapping[str, Accelerator]
    cpus: Mapping[str, Cpu]
    instances: Mapping[str, InstanceType]
    models: Mapping[str, ModelArchitecture]

    def accelerator(self, accelerator_id: str) -> Accelerator:
        """Return the accelerator; raise UnknownNameError where there is none of that id."""
        return look_up("accelerator", self.accelerators, accelerator_id)

    def accelerator_by_product(self, product: str) -> Accelerator:
        """Return the accelerator that a node's label names so; raise UnknownNameError where there is none."""
        known = {label: item for item in self.accelerators.values() for label in item.product_labels}
        return look_up("accelerator product", known, product)

    def cpu_by_model(self, cpu_model: str) -> Cpu | None:
        """Return a processor of that `vendor/family/model`, or None."""
        return next((cpu for cpu in self.cpus.values() if cpu_model in cpu.cpu_models), None)

    def cpu(self, cpu_id: str) -> Cpu:
        """Return the processor; raise UnknownNameError where there is none of that id."""
        return look_up("cpu", self.cpus, cpu_id)

    def instance(self, instance_id: str) -> InstanceType:
        """Return the instance type; raise UnknownNameError where there is none of that id."""
        return look_up("instance", self.instances, instance_id)

    def model(self, name: str) -> ModelArchitecture:
        """Return the model; raise UnknownNameError where there is none of that name.

        A suffix that states a precision (-FP8, -AWQ, …) is set apart and becomes `native_precision`; a repository
        of another owner is found by its own name (RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic) and taken to have
        all its fp8 weights scaled per channel, whatever the model's own publisher does.
        """
        if name in self.models:
            return self.models[name]
        base, precision = split_precision(name)
        known = self.models.get(base) or self._of_another_owner(base)
        if known is None:
            raise UnknownNameError("model", name, self.models)
        return replace(known, name=name, native_precision=precision or known.native_precision)

    def _of_another_owner(self, name: str) -> ModelArchitecture | None:
        owner, slash, repository = name.partition("/")
        if not (owner and slash and repository):
            return None
        ending = f"/{repository.casefold()}"
        found = next((m for known, m in self.models.items() if known.casefold().endswith(ending)), None)
        return replace(found, fp8_scheme="channel") if found else None


def look_up(kind: str, known: Mapping[str, _T], name: str) -> _T:
    """Return what is known by that name; raise UnknownNameError where nothing is."""
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]


def load_catalog() -> Catalog:
    """Return the catalogue of this process: the shipped one, with the files it was extended by."""
    return _in_use[-1] if _in_use else shipped_catalog()


_in_use: list[Catalog] = []


@contextmanager
def catalog_in_use(catalog: Catalog) -> Iterator[None]:
    """Make `load_catalog` return this one, for the run of a command; the program's start decides, nothing else."""
    _in_use.append(catalog)
    try:
        yield
    finally:
        _in_use.pop()


@functools.cache
def shipped_catalog() -> Catalog:
    """Read the catalogue shipped with the package; cached, as it is never written."""
    accelerators = _section("accelerators", Accelerator)
    cpus = _section("cpus", Cpu)
    instances = {
        name: build_entry(InstanceType, name, _with_parts(entry, accelerators, cpus), citations)
        for name, entry, citations in _entries("instances")
    }
    models = [named for name, entry, _ in _entries("models") for named in build_models(name, entry)]
    return Catalog(
        accelerators=accelerators,
        cpus=cpus,
        instances=instances,
        models={model.name: model for model in models},
    )


def _section(kind: str, cls: type[_T]) -> dict[str, _T]:
    return {name: build_entry(cls, name, entry, citations) for name, entry, citations in _entries(kind)}


def _entries(kind: str) -> list[tuple[str, Mapping[str, Any], Mapping[str, str]]]:
    text = resources.files("ecoserve.catalog").joinpath(f"{kind}.yaml").read_text(encoding="utf-8")
    document = cast(dict[str, dict[str, Any]], yaml.safe_load(text))
    citations = document.get("sources", {})
    return [(name, entry, citations) for name, entry in document[kind].items()]


def _with_parts(
    entry: Mapping[str, Any], accelerators: Mapping[str, Accelerator], cpus: Mapping[str, Cpu]
) -> dict[str, Any]:
    cpu_id, cpu_source = entry["cpu"]
    accelerator = entry["accelerator"]
    return {
        **entry,
        "cpu": [look_up("cpu", cpus, cpu_id), cpu_source],
        "accelerator": None if accelerator is None else look_up("accelerator", accelerators, accelerator),
    }


def build_models(name: str, entry: Mapping[str, Any]) -> list[ModelArchitecture]:
    """Build a model, and its aliases, from its YAML mapping; InvalidInputError names what is missing or unknown."""
    values = {snake_case(key): value for key, value in entry.items()}
    aliases = values.pop("aliases", [])
    if isinstance(values.get("state_space"), Mapping):
        state_space = {snake_case(key): value for key, value in values["state_space"].items()}
        values["state_space"] = _checked(StateSpace, f"model {name}: stateSpace", state_space)
    model = _checked(ModelArchitecture, f"model {name}", {"name": name, **values})
    return [model, *(replace(model, name=alias) for alias in aliases)]


def split_precision(name: str) -> tuple[str, str | None]:
    """Part a model's name from the precision it ends in: `x-FP8-dynamic` is `x` in fp8; None where it states none."""
    for pattern, precision in _PRECISION_SUFFIXES:
        match = pattern.search(name)
        if match:
            return name[: match.start()], precision
    return name, None


def _checked(cls: type[_T], where: str, values: Mapping[str, Any]) -> _T:
    known = {item.name: item for item in fields(cast(Any, cls))}
    missing = [n for n, item in known.items() if item.default is MISSING and n not in values]
    for field in (*(values.keys() - known.keys()), *missing):
        raise InvalidInputError(f"{where}.{field}", values.get(field), f"fields are {', '.join(known)}")
    return cast(Callable[..., _T], cls)(**values)


def build_entry(cls: type[_T], name: str, entry: Mapping[str, Any], citations: Mapping[str, str]) -> _T:
    """Build one catalogue value from its YAML mapping.

    Raises InvalidInputError naming the entry's field where one is missing, unknown or cites a source
    that `citations` doesn't hold.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, value in entry.items():
        field = snake_case(key)
        if isinstance(value, list) and field not in LISTS:
            if len(value) != 2:  # a value and the key of its source
                raise InvalidInputError(f"{name}.{key}", value, "[value, source]")
            value, source = value
            if source not in citations:
                raise InvalidInputError(f"{name}.{key}", source, f"sources here are {', '.join(citations)}")
            sources[field] = citations[source]
        values[field] = tuple(value) if isinstance(value, list) else value
    known = {item.name: item for item in fields(cast(Any, cls)) if item.name not in ("id", "sources")}
    required = [n for n, item in known.items() if item.default is MISSING and item.default_factory is MISSING]
    for field in (*(values.keys() - known.keys()), *(n for n in required if n not in values)):
        raise InvalidInputError(f"{name}.{field}", values.get(field), f"fields are {', '.join(known)}")
    return cast(Callable[..., _T], cls)(id=name, sources=sources, **values)


def snake_case(name: str) -> str:
    """Turn a camelCase YAML name into the field's name (`memoryGib` → `memory_gib`)."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match.group(1).lower(), name)
