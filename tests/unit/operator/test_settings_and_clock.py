"""Settings refuse nonsense with a sentence; the replay clock goes at its speed; rights are least."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from ecoserve.errors import InvalidInputError
from ecoserve_operator.clock import ReplayClock, SystemClock
from ecoserve_operator.main import app
from ecoserve_operator.rbac import build_operator_lease_rules, build_operator_rules
from ecoserve_operator.settings import Settings

START = datetime(2022, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lease_seconds": 2}, "--lease-seconds"),
        ({"replay_speed": 0.0}, "--replay-speed"),
        ({"replay_speed": float("nan")}, "--replay-speed"),
        ({"metrics_port": 70000}, "--metrics-port"),
        ({"health_port": -1}, "--health-port"),
        ({"progress_timeout_seconds": 0.0}, "--progress-timeout"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        Settings(**changes)


def test_a_leader_stops_before_its_lease_runs_out() -> None:
    for seconds in range(3, 120):
        settings = Settings(lease_seconds=seconds)
        assert settings.lease_retry_seconds < settings.lease_renew_seconds < settings.lease_seconds


def test_a_bad_option_is_one_line_and_status_2() -> None:
    result = CliRunner().invoke(app, ["--replay-from", "yesterday"])
    assert result.exit_code == 2
    assert "--replay-from: 'yesterday'" in result.output
    assert "Traceback" not in result.output


def test_replayed_time_goes_at_its_speed() -> None:
    clock = ReplayClock(START, 3600.0, origin=time.monotonic() - 2.0)
    assert clock.now() - START >= timedelta(hours=2)
    assert clock.real_seconds_until(clock.now() + timedelta(hours=1)) == pytest.approx(1.0, abs=0.2)
    assert clock.real_seconds_until(START) == 0.0


def test_real_time_is_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert SystemClock().real_seconds_until(START) == 0.0


def test_no_rule_is_a_wildcard_nor_reaches_secrets_but_the_one_with_keys() -> None:
    for rule in build_operator_rules() + build_operator_lease_rules():
        words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in words
        if "secrets" in words:
            assert (rule["verbs"], rule.get("resourceNames")) == (["get"], ["ecoserve-grid-keys"])
    assert not any(
        "secrets" in rule["resources"] for rule in build_operator_rules()
    )  # none of the whole cluster
    (config_maps,) = [rule for rule in build_operator_rules() if "configmaps" in rule["resources"]]
    assert config_maps["verbs"] == ["get", "create", "patch"]  # router weights lie beside their serving
