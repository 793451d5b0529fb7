"""Errors are one sentence that names the field, the value and what is accepted."""

import pytest

from ecoserve.errors import EcoserveError, InvalidInputError, UnknownNameError


def test_invalid_input_names_field_value_and_what_is_accepted() -> None:
    error = InvalidInputError("--port", 70000, "a port from 1 to 65535")
    assert str(error) == "--port: 70000 is not accepted; a port from 1 to 65535"
    assert (error.field, error.value, error.accepted) == ("--port", 70000, "a port from 1 to 65535")
    assert isinstance(error, EcoserveError)


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("h100", ["t4", "h100-sxm", "l4"], "known names are h100-sxm, l4, t4"),
        ("zzz", ["b", "a"], "known names are a, b"),
        ("x", [], "nothing is known by name here"),
        ("a", [f"n{i}" for i in range(9)], "known names are n0, n1, n2, n3, n4, n5 and 3 more"),
    ],
    ids=["nearest first", "else sorted", "none", "many"],
)
def test_unknown_name_offers_known_ones(name: str, known: list[str], sentence: str) -> None:
    error = UnknownNameError("accelerator", name, known)
    assert str(error) == f"accelerator: {name!r} is not accepted; {sentence}"
    assert error.known == tuple(sorted(known))
