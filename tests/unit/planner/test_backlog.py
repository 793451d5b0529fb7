from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.backlog import (
    SLACK_SHARE,
    Cohort,
    bounded,
    joined,
    late,
    planned_by,
    total,
    work_over,
    worked_off,
)

START = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
AMOUNTS = st.lists(st.floats(0.01, 1000), max_size=60)


def backlog(amounts, first=START):
    return tuple(Cohort(arrived_at=first + k * HOUR, requests=n) for k, n in enumerate(amounts))


@given(AMOUNTS, st.floats(0, 5000))
def test_the_oldest_is_worked_off_first_and_nothing_is_lost(amounts, requests):
    before = backlog(amounts)
    left, done = worked_off(before, requests)
    assert total(done) == pytest.approx(min(total(before), requests), abs=1e-4)
    assert total(left) + total(done) == pytest.approx(total(before), abs=1e-4)
    assert not left or not done or done[-1].arrived_at <= left[0].arrived_at


@given(AMOUNTS, st.integers(1, 10))
def test_a_bounded_backlog_keeps_the_requests_and_never_makes_them_younger(amounts, most):
    before = backlog(amounts)
    after = bounded(before, most)
    assert len(after) <= most
    assert total(after) == pytest.approx(total(before))
    for moment in (START + k * HOUR for k in range(60)):
        old = total(cohort for cohort in before if cohort.arrived_at <= moment)
        assert total(cohort for cohort in after if cohort.arrived_at <= moment) >= old - 1e-6


def test_what_arrives_at_one_moment_is_one_cohort():
    once = joined((), START, 2.0)
    assert joined(once, START, 3.0) == (Cohort(arrived_at=START, requests=5.0),)
    assert len(joined(once, START + HOUR, 3.0)) == 2
    assert joined(once, START + HOUR, 0.0) == once


def test_late_is_what_ends_after_its_deadline():
    done = backlog([1.0, 2.0])
    assert late(done, START + 3 * HOUR, 3 * HOUR) == 0.0
    assert late(done, START + 3.5 * HOUR, 3 * HOUR) == 1.0


def test_work_is_due_the_slack_before_its_deadline():
    starts = [START + k * HOUR for k in range(8)]
    work = work_over("s", backlog([4.0], START - HOUR), [1.0] * 8, starts, START + 8 * HOUR, 4 * HOUR)
    assert planned_by(Cohort(arrived_at=START, requests=1), 4 * HOUR) == START + 4 * HOUR * (1 - SLACK_SHARE)
    assert work.available == (5, 6, 7, 8, 9, 10, 11, 12)
    # What waits since an hour before is to be done by 02:30, so with the hour that ends at 02:00; an arrival of
    # 00:00 by 03:30. All that is left is due at the end.
    assert work.due == (0, 4, 5, 6, 7, 8, 9, 12)


def test_a_deadline_shorter_than_an_interval_is_due_as_it_comes():
    starts = [START, START + HOUR]
    work = work_over("s", (), [1.0, 2.0], starts, START + 2 * HOUR, HOUR / 2)
    assert work.due == work.available == (1.0, 3.0)


@given(
    st.lists(st.floats(0, 100), max_size=5),
    st.lists(st.floats(0, 100), min_size=1, max_size=26),
    st.floats(0.1, 72),
)
def test_work_is_never_due_before_it_has_come(waiting, arrivals, deadline_hours):
    starts = [START + k * HOUR for k in range(len(arrivals))]
    before = backlog(waiting, START - len(waiting) * HOUR)
    work = work_over("s", before, arrivals, starts, starts[-1] + HOUR, deadline_hours * HOUR)
    assert work.total == pytest.approx(sum(waiting) + sum(arrivals))
    assert all(due <= come + 1e-6 for due, come in zip(work.due, work.available, strict=True))
    assert list(work.due) == sorted(work.due)
