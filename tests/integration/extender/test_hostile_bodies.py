"""Ten thousand bodies that no scheduler sends: never a 500, never a node that was not asked about."""

import copy
import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.api.labels import CLASS, DECISION
from properties import examples

pytestmark = pytest.mark.devcluster

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
_QUANTITIES = st.sampled_from(
    ["0", "1", "-1", "100m", "1e400", "9" * 40, "1Gi", "", "1 Gi", "NaN", "0x10", "1Qi", ".5", "1e-400"]
)
_JUNK = st.recursive(
    _SCALARS | _QUANTITIES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KNOWN = st.sampled_from(["idle", "gpu"])
_NAMES = _KNOWN | st.sampled_from(["nowhere", "", "idle ", "IDLE", "\u0000", "n" * 300, "💡"])


def _body(labels: dict[str, str], names: list[str], *, whole_nodes: bool) -> dict[str, Any]:
    """All that is read of a pod, and its candidates as names or as whole nodes."""
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}}
    container, moment = {"name": "c", "resources": resources}, "2026-01-01T00:00:00Z"
    metadata = {
        "name": "p", "namespace": "n", "uid": "u", "labels": labels, "annotations": {DECISION: "{}"},
        "ownerReferences": [{"kind": "Job", "controller": True}], "deletionTimestamp": moment,
    }  # fmt: skip
    spec = {
        "containers": [container], "initContainers": [container, container | {"restartPolicy": "Always"}],
        "resources": resources, "overhead": {"cpu": "1m"}, "resourceClaims": [],
    }  # fmt: skip
    nodes = {"items": [{"metadata": {"name": name}} for name in names]}
    return {
        "Pod": {"metadata": metadata, "spec": spec, "status": {"phase": "Pending", "startTime": moment}},
        "Nodes": nodes if whole_nodes else None,
        "NodeNames": None if whole_nodes else names,
    }


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _places(item, (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real body with one to three places replaced or removed, or with its bytes damaged."""
    label = draw(st.sampled_from(["offline", "online", ""]))
    names = draw(st.lists(_KNOWN, max_size=5) | st.lists(_NAMES, max_size=5))
    body: Any = _body({CLASS: label}, names, whole_nodes=draw(st.integers(0, 3)) == 0)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(_places(body), key=str)))
        if not path:
            body = draw(_JUNK)
            break
        body = copy.deepcopy(body)
        parent = body
        for step in path[:-1]:
            parent = parent[step]
        if draw(st.booleans()):
            parent[path[-1]] = draw(_JUNK)
        else:
            del parent[path[-1]]
    raw = json.dumps(body, separators=(",", ":")).encode()  # as Go does
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(raw)))
        raw = raw[:cut] + draw(st.binary(max_size=4)) + raw[cut + draw(st.integers(0, 4)) :]
    return raw


def _loaded(raw: bytes) -> Any:
    return json.loads(raw.decode(errors="replace"))  # what the extender skips may be no UTF-8


def _asked(raw: bytes) -> list[str]:
    """The names that are asked about; of whole nodes, each once."""
    body = _loaded(raw)
    if body.get("NodeNames") is None and body.get("Nodes") is not None:
        return list(dict.fromkeys(map(_name, body["Nodes"].get("items") or [])))
    return body.get("NodeNames") or []


def _name(node: Any) -> str:
    return node["metadata"].get("name", "")


def _check_filter(asked: list[str], reply: Any) -> None:
    refused = reply["FailedAndUnresolvableNodes"]
    whole = reply["Nodes"]
    passed = reply["NodeNames"] if whole is None else list(map(_name, whole["items"]))
    assert passed == [name for name in asked if name not in refused]
    assert refused.keys() <= set(asked)
    assert reply["Error"] == ""
    assert reply["FailedNodes"] == {}
    assert all(refused.values())


def _check_prioritize(asked: list[str], reply: Any) -> None:
    assert [item["Host"] for item in reply] == asked
    assert all(type(item["Score"]) is int and 0 <= item["Score"] <= 10 for item in reply)


def test_ten_thousand_mutated_bodies(bench: Any) -> None:
    bench.node("idle")
    bench.node("gpu", gpus=8)
    bench.sees(lambda metrics: metrics['ecoserve_extender_cache_entries{kind="nodes"}'] >= 2, "both nodes")
    seen: dict[int, int] = {}
    # httpx takes three times as much CPU for a call.
    with closing(HTTPConnection("127.0.0.1", httpx.URL(bench.url).port)) as client:

        @examples(5_000, HealthCheck.data_too_large)
        @given(mutated())
        def ask(raw: bytes) -> None:
            for verb, check in (("filter", _check_filter), ("prioritize", _check_prioritize)):
                client.request("POST", f"/{verb}", raw)
                with client.getresponse() as answer:
                    text = answer.read().decode()
                seen[answer.status] = seen.get(answer.status, 0) + 1
                if answer.status == 200:
                    check(_asked(raw), json.loads(text))
                else:
                    assert answer.status == 400, (answer.status, text)
                    assert text.startswith("body: ")
                    assert text.count("\n") == 1

        ask()
    assert seen[200] > 1_000, seen
    assert seen[400] > 1_000, seen
    assert httpx.get(f"{bench.url}/readyz", trust_env=False).status_code == 200
