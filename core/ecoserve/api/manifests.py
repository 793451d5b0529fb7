"""Manifests from files: the same YAML that `kubectl apply` takes, read without a cluster.

Every document is checked before any is used. A mistake raises one `InvalidInputError` that names the
file, the object and the field; kinds the planner has no use for (Deployments, Jobs) are passed over.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ecoserve.api.gridzone import GridZone
from ecoserve.api.hardwareprofile import HardwareProfile
from ecoserve.api.labels import API_VERSION, GROUP
from ecoserve.api.llmserving import LLMServing
from ecoserve.documents import read_documents
from ecoserve.errors import InvalidInputError, UnknownNameError

ModelT = TypeVar("ModelT", bound=BaseModel)

_KINDS: dict[str, type[LLMServing] | type[GridZone] | type[HardwareProfile]] = {
    "LLMServing": LLMServing,
    "GridZone": GridZone,
    "HardwareProfile": HardwareProfile,
}
_PASSED_OVER = {"PlacementPlan"}
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """What a set of files holds. `fleets` are fleet files (documents with a top-level `nodes`), unread."""

    servings: tuple[LLMServing, ...] = ()
    grid_zones: tuple[GridZone, ...] = ()
    profiles: tuple[HardwareProfile, ...] = ()
    nodes: tuple[Mapping[str, Any], ...] = ()
    config_maps: tuple[Mapping[str, Any], ...] = ()
    fleets: tuple[Path, ...] = ()


def load_manifests(paths: Iterable[Path]) -> Manifests:
    """Read files and folders (their YAML and JSON files, sorted).

    Raises InvalidInputError for a path that can't be read, a document that is no object, a kind of our
    group that doesn't exist, a field that is wrong, or two objects of one name.
    """
    servings: dict[tuple[str | None, str], LLMServing] = {}
    zones: dict[str, GridZone] = {}
    profiles: dict[str, HardwareProfile] = {}
    nodes: list[Mapping[str, Any]] = []
    config_maps: list[Mapping[str, Any]] = []
    fleets: list[Path] = []
    for path in _files(paths):
        for document in _documents(path):
            if "nodes" in document and "kind" not in document:
                fleets.append(path)
            elif document.get("kind") == "Node":
                nodes.append(document)
            elif document.get("kind") == "ConfigMap":
                config_maps.append(document)
            elif (parsed := _parse_own(document, path)) is not None:
                _add_once(parsed, path, servings, zones, profiles)
    return Manifests(
        servings=tuple(servings.values()),
        grid_zones=tuple(zones.values()),
        profiles=tuple(profiles.values()),
        nodes=tuple(nodes),
        config_maps=tuple(config_maps),
        fleets=tuple(fleets),
    )


def parse_serving(document: Mapping[str, Any]) -> LLMServing:
    """An LLMServing from an API object; raises InvalidInputError naming the field that is wrong."""
    return _validated(LLMServing, document, "LLMServing")


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(child for child in path.iterdir() if child.suffix in _SUFFIXES)
        elif path.is_file():
            yield path
        else:
            raise InvalidInputError(
                "file", str(path), "give a YAML or JSON file, or a folder of them, that exists"
            )


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    for document in read_documents(path):
        if isinstance(document, dict) and document.get("kind") == "List":
            items = document.get("items") or []
            yield from (_an_object(item, path) for item in (items if isinstance(items, list) else [items]))
        else:
            yield _an_object(document, path)


def _an_object(document: Any, path: Path) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidInputError(
            "file", str(path), "each document or item in it must be a Kubernetes object or a fleet"
        )
    return document


def _parse_own(document: dict[str, Any], path: Path) -> LLMServing | GridZone | HardwareProfile | None:
    api_version, kind = str(document.get("apiVersion", "")), str(document.get("kind", ""))
    if not api_version.startswith(f"{GROUP}/"):
        if not api_version or not kind:
            raise InvalidInputError(f"{path}: kind", kind, "every object needs an apiVersion and a kind")
        return None
    if api_version != API_VERSION:
        raise InvalidInputError(f"{path}: apiVersion", api_version, f"known is {API_VERSION}")
    if kind in _PASSED_OVER:
        return None
    if kind not in _KINDS:
        raise UnknownNameError(f"{path}: kind", kind, _KINDS)
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return _validated(_KINDS[kind], document, f"{path}: {kind} {name}".rstrip())


def _add_once(
    parsed: LLMServing | GridZone | HardwareProfile,
    path: Path,
    servings: dict[tuple[str | None, str], LLMServing],
    zones: dict[str, GridZone],
    profiles: dict[str, HardwareProfile],
) -> None:
    name = parsed.metadata.name
    taken: bool
    match parsed:
        case LLMServing():
            key = (parsed.metadata.namespace, name)
            taken = servings.setdefault(key, parsed) is not parsed
        case GridZone():
            taken = zones.setdefault(name, parsed) is not parsed
        case HardwareProfile():
            taken = profiles.setdefault(name, parsed) is not parsed
    if taken:
        raise InvalidInputError(f"{path}: metadata.name", name, f"each {parsed.kind} needs a name of its own")


def _validated(model: type[ModelT], document: Mapping[str, Any], where: str) -> ModelT:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise first_error(error, where) from None


def first_error(error: ValidationError, where: str) -> InvalidInputError:
    """The first of pydantic's findings, as one sentence that names the field.

    An unknown field goes before all others: misspelt, it leaves the field that was meant missing, too.
    """
    findings = error.errors(include_url=False)
    finding = next((each for each in findings if each["type"] == "extra_forbidden"), findings[0])
    field = ".".join(str(part) or "''" for part in finding["loc"])
    message = str(finding["msg"])
    if finding["type"] == "extra_forbidden":
        message = "there is no such field; check its spelling and where it stands"
    elif finding["type"] == "too_short":
        message = f"give at least {finding['ctx']['min_length']}"
    elif finding["type"] == "missing":
        return InvalidInputError(f"{where}: {field}", None, "this field must be given")
    value = finding["input"] if not isinstance(finding["input"], dict) else sorted(map(str, finding["input"]))
    return InvalidInputError(f"{where}: {field}" if field else where, value, message[0].lower() + message[1:])
