"""The operator's rights, by what it asked the API server for in all tests before: nothing was forbidden, nothing is unused.

Collected last (conftest).
"""

from pathlib import Path

import pytest

from ecoserve_devcluster import Cluster, Process
from ecoserve_devcluster.audit import read_audit, rights_of, rights_used
from ecoserve_operator.rbac import build_operator_lease_rules, build_operator_rules

pytestmark = pytest.mark.devcluster

ACCOUNT = "system:serviceaccount:ecoserve-system:operator"
_KEDA = "watched where KEDA is installed as the operator starts: not in these tests"
NEEDED_ALL_THE_SAME = {
    ("keda.sh", "scaledobjects", "list"): _KEDA,
    ("keda.sh", "scaledobjects", "watch"): _KEDA,
    (
        "apps",
        "deployments",
        "get",
    ): "read again only where one changes between being seen and being written: a race",
}


def test_nothing_that_the_operator_asked_for_was_forbidden(
    operator_cluster: Cluster, operator: Process
) -> None:
    del operator  # it has run by now, also where this test is asked for alone
    accesses = [each for each in read_audit(operator_cluster.audit_log) if each.user == ACCOUNT]
    assert accesses
    assert [each for each in accesses if not each.allowed] == []


def test_every_right_of_the_operator_is_used(
    operator_cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    folder = Path(__file__).parent
    ran = {item.path.name for item in request.session.items if item.path.parent == folder}
    if missing := {path.name for path in folder.glob("test_*.py")} - ran:
        pytest.skip(f"rights may be used by tests that were not run: {', '.join(sorted(missing))}")
    accesses = (each for each in read_audit(operator_cluster.audit_log) if each.user == ACCOUNT)
    granted = rights_of([*build_operator_rules(), *build_operator_lease_rules()])
    assert granted - rights_used(accesses) <= NEEDED_ALL_THE_SAME.keys() <= granted
