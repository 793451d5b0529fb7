"""Input changed anywhere, and any text at all: answered, or refused in one sentence, and never a traceback."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.cli.app import run
from properties import examples

Capture = pytest.CaptureFixture[str]
KeyPath = tuple[str | int, ...]

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(["", "x", "z", "1", "500ms", "é\n", "\ud800", "nan", "p" * 600]),
    st.sampled_from([0, -1, 1, 0.5, 3.0, 1e-300, 1e308, math.nan, math.inf, -math.inf, 10**30, 450_000]),
    st.sampled_from([[], {}, [[]], [None], {"name": "x"}, {"": {}}, [1, 2], {"a": [{"b": []}]}]),
)


def places(document: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def mutations(draw: st.DrawFn, document: Any) -> Any:
    """Return a copy with something deleted, replaced or inserted anywhere."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(places(made))))
        target: Any = made
        for key in path[:-1]:
            target = target[key]
        match draw(st.sampled_from(["delete", "replace", "insert"])):
            case "delete":
                del target[path[-1]]
            case "replace":
                target[path[-1]] = draw(JUNK)
            case "insert" if isinstance(target, list):
                target.insert(draw(st.integers(0, len(target))), draw(st.one_of(JUNK, st.just(target[0]))))
            case _:
                target[draw(st.sampled_from(["name", "extra", "nodes", "", "a\nb", "rate"]))] = draw(JUNK)
        if not list(places(made)):
            break
    return made


def answers_or_refuses(arguments: list[str], capsys: Capture) -> None:
    capsys.readouterr()
    status = run(arguments)
    captured = capsys.readouterr()
    if status == 2:
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert captured.err.index(": ", 7) > 7, "it begins with the field"
    else:
        assert status in (0, 3)
        assert captured.err == ""
        json.loads(captured.out, parse_constant=lambda name: pytest.fail(f"{name} in the answer"))


@examples(100, HealthCheck.function_scoped_fixture)
@given(data=st.data())
def test_an_instance_changed_anywhere_is_answered_or_refused(
    data: st.DataObject, instance: Any, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(data.draw(mutations(instance))))
    answers_or_refuses(["solve", str(file)], capsys)


@pytest.mark.parametrize("name", ["serving", "zone", "profile", "node", "fleet"])
@examples(6, HealthCheck.function_scoped_fixture)
@given(data=st.data())
def test_a_manifest_changed_anywhere_is_answered_or_refused(
    name: str, data: st.DataObject, world: Any, write_world: Callable[..., list[str]], capsys: Capture
) -> None:
    options = write_world(**{name: data.draw(mutations(world[name]))})
    arguments = ["plan", *options, "--gap", "0.1", "--time-limit", "1", "--output", "json"]
    answers_or_refuses(arguments, capsys)


@given(text=st.text(max_size=200))
@examples(100, HealthCheck.function_scoped_fixture)
def test_any_text_is_refused_in_one_sentence(text: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "instance.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    answers_or_refuses(["solve", str(file)], capsys)
