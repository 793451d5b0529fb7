"""Names by the thousand: found as a dictionary would find them, and answers the same, however the question is written."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve_extender.cache.names import Asked, NodeNames

_NAMES = st.lists(
    st.one_of(
        st.text("ab-.0", min_size=1, max_size=20),
        st.text(min_size=1, max_size=10),
        st.integers(60, 70).map(lambda length: "n" * length),
    ),
    unique=True,
    max_size=40,
)


def listed(names: list[str]) -> NodeNames:
    """The names of the rows from 1 on."""
    return NodeNames(np.array(["", *names], np.object_))


def written(names: list[str]) -> bytes:
    """The names as Go writes them."""
    return json.dumps(names, separators=(",", ":")).encode()


@given(known=_NAMES, data=st.data())
def test_names_are_found_where_they_are_and_never_elsewhere(known, data):
    some = data.draw(st.lists(st.sampled_from(known), max_size=60) if known else st.just([]))
    strangers = data.draw(st.lists(st.text("ab-.0", max_size=24), max_size=2))
    asked = data.draw(st.permutations(some + strangers))
    rows = listed(known).find(written(asked))
    if rows is not None:
        assert rows.tolist() == [known.index(name) + 1 for name in asked]


@given(count=st.integers(1, 3000), data=st.data())
def test_known_names_are_always_found(count, data):
    known = [f"ip-10-0-{number // 256}-{number % 256}.ec2.internal" for number in range(count)]
    order = data.draw(st.randoms(use_true_random=False)).sample(range(count), min(count, 500))
    rows = listed(known).find(written([known[number] for number in order]))
    assert rows is not None
    assert rows.tolist() == [number + 1 for number in order]


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"null",
        b'"a"',
        b'{"a":"b"}',
        b'["a", "b"]',
        b'[ "a"]',
        b'["a","c"]',
        b'["a\\u0062"]',
        b'["a","b\\""]',
        b'[["a"],"b"]',
        b'["a",1,"b"]',
        b'["a",null,"b"]',
        b'["",""]',
        b'["a"] ',
    ],
)
def test_any_other_array_is_left_to_be_read_name_by_name(text):
    assert listed(["a", "b"]).find(text) is None


def test_what_stands_beside_a_name_is_no_part_of_it():
    """A name that is the start of another one, with the text that follows it in the question, is still itself."""
    names = ["n", "nn", "nnnnnnnn", "nnnnnnnnn", "n" * 64]
    assert listed(names).find(written(names)).tolist() == [1, 2, 3, 4, 5]
    assert listed(names[:4]).find(written(["n" * 64])) is None


@pytest.mark.parametrize(
    "names", [["a", "gpu", "b" * 30], ["a", "gpu", "ghost"]], ids=["known", "a stranger"]
)
@pytest.mark.parametrize("offline", [True, False])
def test_answers_are_the_same_however_the_question_is_written(world, names, offline):
    for name in names:
        if name != "ghost":
            world.node(name, gpus=int(name == "gpu"))
    question = world.args(names, offline=offline)
    for verb in ("filter", "prioritize"):
        answers = []
        for body in (json.dumps(question, separators=(",", ":")), json.dumps(question, indent=1)):
            world.extender.reservations.release("uid-1")
            answers.append(world.post(verb, body.encode()).json())
        assert answers[0] == answers[1]


def test_a_row_that_went_to_another_node_leaves_what_was_asked_before():
    names = np.array(["", "a", "b"], np.object_)
    asked = Asked(np.array([1, 0, 2]), NodeNames(names).by_row, {1: "ghost"})
    names[1] = "new"
    assert asked.names() == [asked.name(place) for place in range(3)] == ["a", "ghost", "b"]
    assert [asked.place(name) for name in ("a", "ghost", "b", "new")] == [0, 1, 2, None]
    part = asked.part(np.array([False, True, True]))
    assert part.names() == ["ghost", "b"]


def test_a_decision_names_the_nodes_it_was_taken_on_after_a_node_was_replaced(world):
    names = [world.node("old"), world.node("other")]
    world.filter(names, offline=True)
    world.prioritize(names, offline=True)
    world.see_bound("other", offline=True)
    world.state.remove_node("old")
    world.node("new")
    assert world.filter(["new", "other"], name="pod-2")["NodeNames"] == ["new", "other"]
    explained = world.extender.decisions.get("default/pod-1").explanation()
    assert {each["node"] for each in explained["candidates"]} == {"old", "other"}


def test_a_stranger_that_was_about_to_be_woken_is_named_when_asked_about_again(world):
    """Its row goes while the question is answered."""
    assert world.prioritize(["ghost"]) == {"ghost": 10}
    assert list(world.filter(["ghost"], offline=True)["FailedAndUnresolvableNodes"]) == ["ghost"]
