"""The operator's rights, by what it asked the API server for in all other tests: nothing was forbidden, nothing is unused.

Collected last (conftest). Nothing is told of rules that are unused before each file of tests has passed whole.
"""

from typing import Any

import pytest

from ecoserve_devcluster.audit import Access, rights_of
from ecoserve_operator.rbac import (
    build_inference_pool_rules,
    build_operator_lease_rules,
    build_operator_rules,
)

pytestmark = pytest.mark.devcluster

NEEDED_ALL_THE_SAME = {
    (
        "apps",
        "deployments",
        "get",
    ): "read again only where one changes between being seen and being written: a race",
}


def test_nothing_that_the_operator_asked_for_was_forbidden(accesses: list[Access]) -> None:
    assert accesses
    assert [each for each in accesses if not each.allowed] == []


def test_every_right_of_the_operator_is_used(rights_used_by_operator: Any) -> None:
    """Of all files of tests here, run together or one by one since the code changed last."""
    used, missing = rights_used_by_operator.over_all_runs()
    if missing:
        pytest.skip(f"rights may be used by tests that have not passed; run these, too: {', '.join(missing)}")
    rules = [*build_operator_rules(), *build_inference_pool_rules(), *build_operator_lease_rules()]
    granted = rights_of(rules)
    assert NEEDED_ALL_THE_SAME.keys() <= granted
    unused = sorted(granted - used - NEEDED_ALL_THE_SAME.keys())
    assert unused == [], "take these from operator/ecoserve_operator/rbac.py"
