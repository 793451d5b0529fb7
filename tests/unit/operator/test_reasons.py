"""Whatever reason is given, somebody looks it up: the page of reasons knows them all, and no others."""

import re
from pathlib import Path

from ecoserve.performance.engine import RejectionReason
from ecoserve.planner.explanation import UnservedReason
from ecoserve.planner.horizon_reasons import ScheduleReason
from ecoserve.planner.starting import StartReason
from ecoserve_extender.policy.verdict import Fallback, Rejection
from ecoserve_operator.reporting.conditions import Reason
from ecoserve_operator.reporting.outcomes import Outcome
from ecoserve_operator.signals.intensity import Freshness
from ecoserve_operator.signals.load.reading import LoadFreshness

PAGE = (Path(__file__).parents[3] / "docs" / "reasons.md").read_text()
OPERATE = (Path(__file__).parents[3] / "docs" / "operate.md").read_text()
KINDS = (Reason, Freshness, LoadFreshness, UnservedReason, RejectionReason, ScheduleReason, StartReason)
VALUES = {each.value for kind in KINDS for each in kind}
NAMES = {each.name for kind in (Rejection, Fallback) for each in kind}


def test_every_reason_is_explained() -> None:
    assert {each for each in VALUES | NAMES if f"`{each}`" not in PAGE} == set()
    assert {each.value for each in Rejection if each.value not in PAGE} == set()
    assert {each.value for each in Outcome if f"`{each.value}`" not in OPERATE} == set()


def test_no_reason_is_explained_that_nobody_gives() -> None:
    first_cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, flags=re.MULTILINE)
    explained = {each for cell in first_cells for each in re.findall(r"`(\w+)`", cell)}
    conditions = {"CarbonDataFresh", "LoadDataFresh", "LoadAsExpected"}
    assert explained - VALUES - conditions == {"NotPlannedYet", "Released"}
