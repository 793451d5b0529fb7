"""Instances in several ConfigMaps: whole, or not at all."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ecoserve_operator.reporting import instances
from ecoserve_operator.reporting.instances import BrokenInstanceError, in_parts, part_names, put_together

_FILES = st.dictionaries(
    st.sampled_from(["carbon.json.xz", "cost.json.xz", "energy.json.xz"]),
    st.binary(min_size=1, max_size=40),
    min_size=1,
)


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "PART_BYTES", 10)
        yield


def stored(plan: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {part["metadata"]["name"]: part for part in in_parts("n", "uid", plan, files)}


@given(_FILES)
def test_what_was_cut_is_put_together(files: dict[str, bytes]) -> None:
    parts = stored("p", files)
    assert len(parts) == -(-sum(map(len, files.values())) // 10)
    assert list(parts) == part_names("ecoserve-instances", len(parts))
    assert put_together("p", parts) == files
    assert {part["metadata"]["ownerReferences"][0]["uid"] for part in parts.values()} == {"uid"}


@given(_FILES, _FILES, st.integers(0, 11), st.booleans())
def test_parts_of_two_exports_never_pass_for_one(
    files: dict[str, bytes], others: dict[str, bytes], place: int, same_plan: bool
) -> None:
    parts, foreign = stored("p", files), stored("p" if same_plan else "q", others)
    assume(not same_plan or (files != others and len(parts) > 1))
    name = list(parts)[place % len(parts)]
    for instead in (None, foreign.get(name), instances.emptied(parts[name], "uid")):
        with pytest.raises(BrokenInstanceError, match=name if instead is None else "ecoserve-instances"):
            put_together("p", parts | {name: instead})
