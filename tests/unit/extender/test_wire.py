"""The wire contract: replies to the letter, and no body, however mangled, that breaks it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = st.lists(st.sampled_from(["a", "b", "gpu", "ghost", "", "ünï", "a"]), max_size=8)


def test_filter_names_every_field(world):
    world.node("a")
    world.node("gpu", gpus=1)
    body = world.post("filter", world.args(["a", "gpu"], offline=True)).json()
    assert body == {
        "Nodes": None,
        "NodeNames": ["a"],
        "FailedNodes": {},
        "FailedAndUnresolvableNodes": {"gpu": "node(s) have accelerators, kept for online serving"},
        "Error": "",
    }


def test_filter_that_refuses_all_still_answers_a_list(world):
    assert world.filter(["ghost"], offline=True)["NodeNames"] == []
    assert world.filter([])["NodeNames"] == []


def test_prioritize_is_a_bare_array_of_integers(world):
    world.node("a")
    text = world.post("prioritize", world.args(["a"])).text
    assert text == '[{"Host":"a","Score":10}]'


def test_whole_nodes_are_answered_with_whole_nodes(world, make_pod):
    world.node("a")
    world.node("gpu", gpus=1)
    sent = {
        name: {"metadata": {"name": name, "annotations": {"x": "y"}}, "status": {}} for name in ("a", "gpu")
    }
    args = {"Pod": make_pod(offline=True), "Nodes": {"items": list(sent.values())}, "NodeNames": None}
    body = world.post("filter", args).json()
    assert body["NodeNames"] is None
    assert body["Nodes"]["items"] == [sent["a"]]
    assert list(body["FailedAndUnresolvableNodes"]) == ["gpu"]
    assert [item["Host"] for item in world.post("prioritize", args).json()] == ["a", "gpu"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "body: Input data was truncated"),
        (b"{", "body: Input data was truncated"),
        (b"[]", "body: Expected `object`, got `array`"),
        (b"{}", "body: the field Pod is missing"),
        (b'{"Pod":{"metadata":{"name":1}}}', "body: Expected `str`, got `int` - at `$.Pod.metadata.name`"),
        (
            b'{"Pod":{"metadata":{}},"NodeNames":[1]}',
            "body: Expected `str`, got `int` - at `$.NodeNames[0]`",
        ),
        (b"[" * 100_000, "body: "),
    ],
)
def test_garbage_gets_400_and_one_line(world, body, sentence):
    for verb in ("filter", "prioritize"):
        answer = world.post(verb, body)
        assert answer.status_code == 400
        assert answer.text.startswith(sentence)
        assert answer.text.count("\n") == 1


@pytest.mark.parametrize("quantity", ["-1", "1e400", "one", "", "9" * 400, "1Zi"])
def test_an_amount_that_is_no_quantity_is_named(world, quantity):
    answer = world.post("filter", world.args(["a"], cpu=quantity))
    assert answer.status_code == 400
    assert answer.text.startswith("body: cpu: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated_bodies(draw, pod):
    """A good body with values exchanged, keys dropped, or bytes changed."""
    body = {"Pod": pod, "Nodes": None, "NodeNames": draw(NAMES)}
    for _ in range(draw(st.integers(0, 2))):
        parent = body
        while True:
            keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(parent[key], dict | list) and parent[key] and draw(st.booleans()):
                parent = parent[key]
                continue
            if isinstance(parent, dict) and draw(st.booleans()):
                del parent[key]
            else:
                parent[key] = draw(JSON)
            break
    encoded = bytearray(json.dumps(body).encode())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        encoded[draw(st.integers(0, len(encoded) - 1))] = draw(st.integers(0, 255))
    return bytes(encoded)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_body_gets_a_500_or_a_node_that_was_not_asked_about(make_world, make_pod, data):
    world = _shared(make_world)
    body = data.draw(mutated_bodies(make_pod(offline=data.draw(st.booleans()))))
    for verb in ("filter", "prioritize"):
        answer = world.post(verb, body)
        assert answer.status_code in (200, 400)
        if answer.status_code == 400:
            assert answer.text.count("\n") == 1
            continue
        try:
            asked = json.loads(body.decode(errors="replace"))
        except ValueError:
            continue  # broken in a part that nobody reads
        full = (asked.get("Nodes") or {}).get("items") or []
        names = asked.get("NodeNames")
        names = {item["metadata"].get("name", "") for item in full} if names is None else set(names)
        if verb == "prioritize":
            assert {item["Host"] for item in answer.json()} == names
            assert all(type(item["Score"]) is int and 0 <= item["Score"] <= 10 for item in answer.json())
            continue
        reply = answer.json()
        passed = set(reply["NodeNames"] or ())
        assert passed | set(reply["FailedAndUnresolvableNodes"]) <= names
        if asked["Pod"].get("metadata", {}).get("labels") and "gpu" in passed:
            assert asked["Pod"]["metadata"]["labels"].get("ecoserve.dev/class") != "offline"


_WORLDS = []


def _shared(make_world):
    """One world for all examples: making an application for each would take minutes."""
    if not _WORLDS:
        world = make_world()
        for name in ("a", "b", "gpu"):
            world.node(name, gpus=8 if name == "gpu" else 0)
        _WORLDS.append(world)
    return _WORLDS[0]
