"""Capacities as bytes: the same again, or nothing; and keys that hold all that an answer depends on."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import MeasuredPoint, MeasuredProfile, load_catalog
from ecoserve.catalog.model_architecture import StateSpace
from ecoserve.performance import (
    CapacityLimit,
    Engine,
    Question,
    Rejection,
    RejectionReason,
    ReplicaCapacity,
    Slo,
    capacity,
    kept,
    replica_capacity,
    take_over_capacities,
)
from ecoserve.performance.capacity import question_key

FIGURES = st.floats(1e-9, 1e9)
CAPACITIES = st.builds(
    ReplicaCapacity,
    max_requests_per_second=FIGURES,
    batch=FIGURES,
    ttft_seconds=st.just(0.0) | FIGURES,
    tpot_seconds=st.just(0.0) | FIGURES,
    energy_per_request_joules=FIGURES,
    latency_seconds=FIGURES,
    load=FIGURES,
    limit=st.sampled_from(CapacityLimit),
)
REJECTIONS = st.builds(Rejection, reason=st.sampled_from(RejectionReason), detail=st.text())
KNOWN = st.dictionaries(st.binary(min_size=16, max_size=16), CAPACITIES | REJECTIONS)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(), inner, max_size=3),
)


def document(answers: object, model: str | None = None) -> bytes:
    content = {"model": model or kept.model_fingerprint(), "answers": answers}
    return zlib.compress(json.dumps(content).encode())


@given(known=KNOWN)
def test_what_is_kept_is_the_same_again(known: kept.Known) -> None:
    assert kept.decode(kept.encode(known)) == known


@given(known=KNOWN, data=st.data())
def test_a_document_cut_or_changed_is_as_good_as_none(known: kept.Known, data: st.DataObject) -> None:
    whole = kept.encode(known)
    at = data.draw(st.integers(0, len(whole) - 1))
    assert kept.decode(whole[:at]) == {}
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    assert kept.decode(bytes(changed)) in ({}, known)


def test_a_document_without_its_last_byte_is_as_good_as_none() -> None:
    known = {bytes(16): Rejection(reason=RejectionReason.MEMORY_TOO_SMALL, detail="too small")}
    whole = kept.encode(known)
    assert kept.decode(whole) == known
    assert kept.decode(whole[:-1]) == {}


@given(content=JSON)
def test_no_content_makes_reading_fail(content: object) -> None:
    for found in (kept.decode(document(content)), kept.decode(document({"00": content}))):
        for answer in found.values():
            assert isinstance(answer, Rejection) or answer.max_requests_per_second > 0
    assert kept.decode(zlib.compress(json.dumps(content).encode())) == {}


@pytest.mark.parametrize(
    "row",
    [
        ["Ttft", float("nan"), *[1] * 8],
        ["Ttft", 1, 1, 1, float("inf"), *[1] * 5],
        ["Ttft", 1, 1, 1, 1, 1, -1, 1, 1, 1],
        ["Ttft", 0, *[1] * 8],
        ["Ttft", *[1] * 8],
        ["Ttft", *[1] * 8, "1"],
        ["Elsewhere", *[1] * 9],
        ["Elsewhere", "it does not fit"],
        [],
    ],
)
def test_figures_that_no_replica_has_are_not_taken(row: list[Any]) -> None:
    assert kept.decode(document({"00": row})) == {}


def test_what_another_model_found_is_not_taken() -> None:
    row = ["Ttft", *[1] * 9]
    assert len(kept.decode(document({"00": row}))) == 1
    assert kept.decode(document({"00": row}, model="another")) == {}


def test_little_that_unpacks_to_much_is_left_packed() -> None:
    assert kept.decode(zlib.compress(b"[" * (kept._MOST_BYTES + 1))) == {}


def question() -> Question:
    """A question in which every figure that there may be is one."""
    catalog = load_catalog()
    point = MeasuredPoint(input_tokens=9.0, output_tokens=9.0, batch=2.0, tpot_seconds=0.1, ttft_seconds=0.2)
    model = dataclasses.replace(
        catalog.model("mistralai/Mixtral-8x7B-Instruct-v0.1"),
        state_space=StateSpace(layers=1, heads=2, head_dim=3, groups=1, state_size=4),
    )
    profile = MeasuredProfile(model=model, precision="bf16", points=(point,), tensor_parallel=2)
    instance = dataclasses.replace(catalog.instance("p5.48xlarge"), measured=(profile,))
    return Question(
        engine=Engine(model=model, precision="bf16", instance=instance, tensor_parallel=2),
        input_tokens=512.0,
        output_tokens=128.0,
        slo=Slo(ttft_seconds=2.0, tpot_seconds=0.1),
    )


def changed(value: Any) -> Iterator[Any]:
    """A value with one figure of it changed, whichever they are; no value is judged by whether it makes sense."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.compare:
                for other in changed(getattr(value, field.name)):
                    copy = object.__new__(type(value))
                    for each in dataclasses.fields(value):
                        given = other if each is field else getattr(value, each.name)
                        object.__setattr__(copy, each.name, given)
                    yield copy
    elif isinstance(value, tuple):
        yield (*value, "more")
        for place, part in enumerate(value):
            for other in changed(part):
                yield (*value[:place], other, *value[place + 1 :])
    else:
        yield {type(None): 1.0, bool: not value}.get(type(value)) or (
            f"{value}-" if isinstance(value, str) else value + 1
        )


def test_every_figure_is_in_the_key() -> None:
    asked = question()
    keys = [question_key(asked, searched=True), question_key(asked, searched=False)]
    keys += [question_key(other, searched=True) for other in changed(asked)]
    assert len(keys) > 100
    assert len(set(keys)) == len(keys)


def test_keys_are_the_same_in_every_process() -> None:
    code = (
        "import pickle, sys; from ecoserve.performance import kept; from ecoserve.performance.capacity import question_key;"
        "asked = pickle.load(sys.stdin.buffer); print(question_key(asked, searched=True).hex(), kept.model_fingerprint())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        input=pickle.dumps(question()),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert told.split() == [question_key(question(), searched=True).hex(), kept.model_fingerprint()]


def test_what_was_taken_over_is_not_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_known", {})
    monkeypatch.setattr(capacity, "_taken_over", {})
    asked = question()
    other = Rejection(reason=RejectionReason.TTFT_UNREACHABLE, detail="as another process found")
    take_over_capacities({question_key(asked, searched=True): other})
    assert replica_capacity(asked.engine, 512.0, 128.0, asked.slo) is other
    assert isinstance(replica_capacity(asked.engine, 513.0, 128.0, asked.slo), ReplicaCapacity)
