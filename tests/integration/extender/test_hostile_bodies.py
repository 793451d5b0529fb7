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
_NAMES = st.sampled_from(["idle", "gpu", "nowhere", "", "idle ", "IDLE", "\u0000", "n" * 300, "💡"])


def _body(labels: dict[str, str], names: list[str]) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
    return {
        "Pod": {
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": labels, "ownerReferences": []},
            "spec": {"containers": [container], "initContainers": [container], "overhead": {"cpu": "1m"}},
            "status": {"phase": "Pending"},
        },
        "Nodes": None,
        "NodeNames": names,
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
    body: Any = _body({"ecoserve.dev/class": label}, draw(st.lists(_NAMES, max_size=5)))
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
    raw = json.dumps(body).encode()
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(raw)))
        raw = raw[:cut] + draw(st.binary(max_size=4)) + raw[cut + draw(st.integers(0, 4)) :]
    return raw


def _loaded(raw: bytes) -> Any:
    return json.loads(raw.decode(errors="replace"))  # what the extender skips may be no UTF-8


def _asked(raw: bytes) -> list[str]:
    return _loaded(raw).get("NodeNames") or []


def _check_filter(raw: bytes, reply: Any) -> None:
    asked = set(_asked(raw))
    passed, refused = reply["NodeNames"], reply["FailedAndUnresolvableNodes"]
    assert set(passed) | set(refused) == asked
    assert not set(passed) & set(refused)
    assert reply["Error"] == ""
    assert reply["FailedNodes"] == {}
    assert all(refused.values())


def _check_prioritize(raw: bytes, reply: Any) -> None:
    assert {item["Host"] for item in reply} == set(_asked(raw))
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
                    if isinstance(_loaded(raw).get("Nodes"), dict) and _loaded(raw).get("NodeNames") is None:
                        continue  # whole nodes were sent: their names are elsewhere
                    check(raw, json.loads(text))
                else:
                    assert answer.status == 400, (answer.status, text)
                    assert text.startswith("body: ")
                    assert text.count("\n") == 1

        ask()
    assert seen[200] > 1_000, seen
    assert seen[400] > 1_000, seen
    assert httpx.get(f"{bench.url}/readyz", trust_env=False).status_code == 200
