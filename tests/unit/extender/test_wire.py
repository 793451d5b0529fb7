"""The wire contract: replies to the letter, and no body, however mangled, that breaks it."""

import json

import pytest


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
    answer = world.post("prioritize", world.args(["a"])).json()
    assert answer == [{"Host": "a", "Score": 10}]
    assert type(answer[0]["Score"]) is int


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
    assert {item["Host"] for item in world.post("prioritize", args).json()} == {"a", "gpu"}


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


@pytest.mark.parametrize("verb", ["filter", "prioritize"])
def test_calls_beyond_the_rate_are_refused_and_counted(make_world, verb):
    world = make_world(max_calls_per_second=1)
    assert world.post(verb, world.args(["a"])).status_code == 200
    refused = next(
        answer for _ in range(100) if (answer := world.post(verb, world.args(["a"]))).status_code != 200
    )
    assert (refused.status_code, refused.text) == (429, "more calls than any scheduler makes\n")
    counted = f'refused_calls_total{{reason="too_many",verb="{verb}"}} 1.0'
    assert counted in world.get("/metrics").text


def test_a_body_of_the_longest_length_is_read_and_a_longer_one_is_not(make_world):
    longest = json.dumps(make_world().args(["a"])).encode()
    for most, status in ((len(longest), 200), (len(longest) - 1, 413)):
        assert make_world(max_body_bytes=most).post("filter", longest).status_code == status


def test_calls_are_posted_and_other_paths_are_served_beside_them(world):
    assert world.get("/filter").status_code == world.get("/prioritize").status_code == 405
    assert world.get("/healthz").text == "ok\n"
    assert world.post("filters", world.args(["a"])).status_code == 404
