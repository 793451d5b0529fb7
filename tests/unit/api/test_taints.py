"""Taints and tolerations by the scheduler's rules."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api.taints import Taint, Toleration, not_tolerated, taints_of, tolerations_of

GPU = Taint("nvidia.com/gpu", "present", "NoSchedule")


def template(*tolerations: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": [], "tolerations": list(tolerations)}}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "present"}, True),  # Equal is the default
        ({"key": "nvidia.com/gpu", "value": "absent"}, False),
        ({"key": "nvidia.com/gpu"}, False),
        ({"key": "amd.com/gpu", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "tolerationSeconds": 300}, False),
    ],
)
def test_a_toleration_covers_what_the_scheduler_says(toleration: dict[str, Any], tolerated: bool) -> None:
    kept_off = not_tolerated([GPU], tolerations_of(template(toleration)))
    assert kept_off == (() if tolerated else (GPU,))


def test_taints_are_read_sorted_and_advice_is_left_out() -> None:
    given = [
        {"key": "team", "value": "b", "effect": "NoExecute"},
        {"key": "soft", "effect": "PreferNoSchedule"},
        {"key": "nvidia.com/gpu", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"},
    ]
    assert taints_of(given) == (Taint("nvidia.com/gpu"), Taint("team", "b", "NoExecute"))
    assert [str(taint) for taint in taints_of(given)] == ["nvidia.com/gpu:NoSchedule", "team=b:NoExecute"]
    assert taints_of(None) == ()


@pytest.mark.parametrize(
    "wrong", ["x", [1], [{"effect": "NoSchedule"}], [{"key": "a"}], [{"key": 3, "effect": "x"}]]
)
def test_what_is_no_list_of_taints_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        taints_of(wrong)


@pytest.mark.parametrize("odd", [None, {}, {"spec": None}, {"spec": {"tolerations": "all"}}, {"spec": []}])
def test_a_template_without_sound_tolerations_tolerates_nothing(odd: Any) -> None:
    assert tolerations_of(odd) == ()


words = st.sampled_from(["", "a", "b"])
taints = st.builds(Taint, st.sampled_from(["a", "b"]), words, st.sampled_from(["NoSchedule", "NoExecute"]))
tolerations = st.builds(
    Toleration,
    key=words,
    exists=st.booleans(),
    value=words,
    effect=st.sampled_from(["", "NoSchedule", "NoExecute"]),
)


@given(st.lists(taints), st.lists(tolerations), tolerations)
def test_more_tolerations_keep_off_no_more(
    own: list[Taint], some: list[Toleration], more: Toleration
) -> None:
    assert set(not_tolerated(own, [*some, more])) <= set(not_tolerated(own, some)) <= set(own)
    assert not_tolerated(own, [Toleration(exists=True)]) == ()
