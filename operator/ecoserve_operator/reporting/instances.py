"""Planning instances in ConfigMaps: cut into parts of less than a megabyte each, and put together again.

Each file's pieces stand under its name in one part after another. Every part says which of how many it is, of which
plan, and what they hold together (a digest), so that parts of two exports never pass for one, and one that lacks a part
is no instance.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from ecoserve.api.labels import (
    API_VERSION,
    CURRENT_PLAN,
    FIELD_MANAGER,
    GROUP,
    INSTANCES_NAME,
    MANAGED_BY,
    PLAN_ID,
)
from ecoserve.errors import EcoserveError

PART_BYTES = 750_000
"""A ConfigMap holds 1 MiB; so much makes a request of 1 MB, beyond which sending it would hold up the event loop."""
_PART = f"{GROUP}/part"
_DIGEST = f"{GROUP}/digest"


class BrokenInstanceError(EcoserveError):
    """A part is missing, or another plan's: nothing can be read."""


def part_names(first: str, parts: int) -> list[str]:
    """Return the names of the ConfigMaps that follow from the first one's."""
    return [first, *(f"{first}-{number}" for number in range(2, parts + 1))]


def in_parts(namespace: str, plan_uid: str, plan_id: str, files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the ConfigMaps with the instances behind a plan, which go when the plan does."""
    contents = _filled(files)
    names = part_names(INSTANCES_NAME, len(contents))
    notes = {PLAN_ID: plan_id, _DIGEST: _digest(files)}
    return [
        config_map(name, namespace, plan_uid, {**notes, _PART: f"{number}/{len(contents)}"}, content)
        for number, (name, content) in enumerate(zip(names, contents, strict=True), 1)
    ]


def emptied(part: Mapping[str, Any], plan_uid: str) -> dict[str, Any]:
    """Return a part that an earlier, larger export has left, without its content: the operator may delete no ConfigMaps."""
    where = part["metadata"]
    return config_map(where["name"], where["namespace"], plan_uid, {}, {})


def put_together(plan_id: str, parts: Mapping[str, Mapping[str, Any] | None]) -> dict[str, bytes]:
    """Return the files of a plan from its parts, given in order by name; None where there is no such ConfigMap.

    Raises BrokenInstanceError where they are not all there, or not of one export of this plan.
    """
    files: dict[str, bytes] = {}
    digests = set()
    for number, (name, part) in enumerate(parts.items(), 1):
        what = f"ConfigMap {name}, part {number} of {len(parts)} of the instance,"
        if part is None:
            raise BrokenInstanceError(f"{what} is missing")
        notes = part["metadata"].get("annotations") or {}
        if notes.get(PLAN_ID) != plan_id or notes.get(_PART) != f"{number}/{len(parts)}":
            raise BrokenInstanceError(f"{what} is of another plan")
        digests.add(notes.get(_DIGEST))
        for file, piece in (part.get("binaryData") or {}).items():
            files[file] = files.get(file, b"") + b64decode(piece)
    if digests != {_digest(files)}:
        raise BrokenInstanceError(f"the instance in ConfigMap {next(iter(parts))} is not whole")
    return files


def _filled(files: Mapping[str, bytes]) -> list[dict[str, bytes]]:
    """Return what each part holds: file after file, cut where a part is full."""
    parts: list[dict[str, bytes]] = [{}]
    room = PART_BYTES
    for name, content in files.items():
        left = content
        while left:
            if not room:
                parts.append({})
                room = PART_BYTES
            parts[-1][name], left = left[:room], left[room:]
            room -= len(parts[-1][name])
    return parts


def _digest(files: Mapping[str, bytes]) -> str:
    return sha256(
        b"".join(name.encode() + sha256(files[name]).digest() for name in sorted(files))
    ).hexdigest()


def config_map(
    name: str, namespace: str, plan_uid: str, notes: Mapping[str, str], content: Mapping[str, bytes]
) -> dict[str, Any]:
    """Return a ConfigMap of files that goes when the current plan does."""
    owner = {"apiVersion": API_VERSION, "kind": "PlacementPlan", "name": CURRENT_PLAN, "uid": plan_uid}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY: FIELD_MANAGER},
            "annotations": dict(notes),
            "ownerReferences": [owner],
        },
        "binaryData": {file: b64encode(piece).decode() for file, piece in content.items()},
    }
