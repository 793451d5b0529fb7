import os
import time

import pytest

from ecoserve.planner.child import ChildFailedError, ChildTimeoutError, PlanningProcess


def test_a_child_answers_is_killed_when_late_and_replaced() -> None:
    with PlanningProcess() as process:
        first = process.call(os.getpid, hard_limit_seconds=60)
        assert first != os.getpid()
        assert process.call(os.getpid, hard_limit_seconds=60) == first
        with pytest.raises(ChildFailedError, match="invalid literal"):
            process.call(int, "x", hard_limit_seconds=60)
        with pytest.raises(ChildTimeoutError, match="limit of 0"):
            process.call(time.sleep, 600, hard_limit_seconds=0.2)
        assert process.call(os.getpid, hard_limit_seconds=60) != first
        with pytest.raises(ChildFailedError, match="without an answer"):
            process.call(os._exit, 1, hard_limit_seconds=60)
