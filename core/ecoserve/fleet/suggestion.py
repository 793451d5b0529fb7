"""A HardwareProfile to start from for a node that nothing known picks: what its labels say, the rest marked."""

import json
import math
from collections.abc import Iterable

from ecoserve.api.labels import API_VERSION, GPU_PRODUCT, HOSTNAME, INSTANCE_TYPE
from ecoserve.catalog import Catalog
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.identity import identify, seen_accelerator, seen_count, seen_cpu
from ecoserve.fleet.nodes import NodeFacts

_TOLD_BY = (INSTANCE_TYPE, GPU_PRODUCT)
_TO_CHECK = "  # the node doesn't say; put what it has"
_TO_ADD = "  # not in the catalogue as it stands; put the nearest, or add it by a catalogue file (--catalog)"


def suggested_profiles(nodes: Iterable[NodeFacts], catalog: Catalog) -> tuple[str, ...]:
    """Return a document of YAML for each kind of node that is not known, ready to apply once checked."""
    documents: dict[tuple[tuple[str, str], ...], str] = {}
    for node in sorted(nodes, key=lambda item: item.name):
        try:
            identify(node, catalog)
        except InvalidInputError as error:
            picked = _picked(node)
            documents.setdefault(tuple(picked.items()), _document(node, picked, error, catalog))
    return tuple(documents.values())


def _picked(node: NodeFacts) -> dict[str, str]:
    """Return the labels that pick nodes of this kind; its own name where it has no better."""
    chosen = {key: node.labels[key] for key in _TOLD_BY if node.labels.get(key)}
    return chosen or {HOSTNAME: node.labels.get(HOSTNAME, node.name)}


def _document(node: NodeFacts, picked: dict[str, str], error: InvalidInputError, catalog: Catalog) -> str:
    cpu, seen = seen_cpu(node.labels, catalog), seen_accelerator(node.labels, catalog)
    name = "-".join(picked.values()).lower()
    name = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")[:63].rstrip("-")
    lines = [
        f"# {' '.join(node.name.split())}: {error.field} is {error.value!r}: {error.accepted.partition(';')[0]}",
        f"apiVersion: {API_VERSION}",
        "kind: HardwareProfile",
        f"metadata: {{name: {name}}}",
        "spec:",
        "  matchLabels:",
        *(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in picked.items()),
        f"  cpu: {cpu.id if cpu else 'xeon-8480plus'}" + ("" if cpu else _TO_CHECK),
        f"  vcpus: {max(math.ceil(node.allocatable.cpu), 1)}",
        f"  memoryGib: {max(math.ceil(node.allocatable.memory_gib), 1)}",
    ]
    if seen is not None or node.allocatable.gpu:
        accelerator = seen[1] if seen is not None else None
        known = accelerator is not None and not error.field.endswith(GPU_PRODUCT)
        to_check = _TO_CHECK if seen is None else _TO_ADD
        lines += [
            f"  accelerator: {accelerator.id if accelerator is not None else 'h100-sxm'}"
            + ("" if known else to_check),
            f"  acceleratorCount: {max(seen_count(node), 1)}",
        ]
    return "\n".join(lines) + "\n"
