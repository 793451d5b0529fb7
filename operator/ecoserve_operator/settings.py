"""What can be set, with unit, default and the reason for it. Nothing else in the operator is configurable."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from ecoserve.api.gridsource import URL_PATTERN
from ecoserve.errors import InvalidInputError
from ecoserve_operator.planning.hysteresis import Hysteresis


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's settings; the command line sets the first group, the second stays at its defaults."""

    namespace: str = "ecoserve-system"
    """Where the Lease and the events of cluster-scoped objects live."""
    metrics_port: int = 9090
    """Port of /metrics; 0 turns it off."""
    health_port: int = 8080
    """Port of /healthz; 0 turns it off."""
    listen_host: str = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus reach a pod by its address
    """Address both ports listen on."""
    prometheus_url: str = ""
    """Where load is measured, for LLMServings that name no address of their own."""
    replay_from: datetime | None = None
    """Simulated time to start at; None is the real clock."""
    replay_speed: float = 1.0
    """Simulated seconds per real second, with `replay_from`."""
    lease_seconds: int = 15
    """How long a silent leader keeps its Lease: Kubernetes' own controllers use 15."""
    progress_timeout_seconds: float = 600.0
    """How long raised replicas may take to be ready before it is told: loading a 70B model takes minutes."""
    room_wait_seconds: float = 180.0
    """How long new replicas may find no room, while nothing moves, until a plan is made that leaves in place what is
    ready: pods that end keep their room for a grace period, mostly half a minute, at times some."""
    surge_percent: float = 100.0
    """Replicas of a Deployment that are started at a time, in percent of what it is to have, at least one: all of
    them, as changes are short then; fewer where they would crowd out others or have an autoscaler buy nodes."""
    compare_interval_seconds: float = 60.0
    """Least time between two computations of the design points: four more plans, for reporting only."""

    debounce_seconds: float = 0.1
    """How long changes are gathered before one reconciliation: a burst of events is one change."""
    poll_seconds: float = 1.0
    """How often ConfigMaps with an intensity series are read: a changed series is planned within 2 s."""
    resync_seconds: float = 60.0
    """Longest time between two reconciliations: level-triggered even if an event was missed."""
    load_step_seconds: float = 900.0
    """Simulated time between two looks at the daily load profile: hourly figures, four points each."""
    horizon_hours: int = 24
    """How far ahead offline work is scheduled: the cycle of a day, which is what grids and load repeat."""
    plan_limit_seconds: float = 30.0
    """Hard limit on a plan: a planner that takes longer is killed and the placement held."""
    schedule_limit_seconds: float = 120.0
    """Hard limit on a schedule of offline work, which takes many plans."""
    hysteresis_fraction: float = 0.01
    """A serving's replicas stay while its own change would gain less than this share: below it is noise."""
    at_once_fraction: float = 0.05
    """A gain above this share is taken at once: twice or more what an intensity or a load is uncertain by."""
    lasting_seconds: float = 3600.0
    """Simulated time that a gain between the two has to last: the interval at which grids tell their figures."""
    stay_seconds: float = 3600.0
    """How long what is ready stays in plans after a change found no room: as long as a small gain waits. A try does no
    harm, but what it starts is pending for as long as `room_wait_seconds`."""
    hold_seconds: float = 6 * 3600.0
    """How long a stale intensity is held before the fallback: a quarter of the daily cycle, after which the
    last value tells little."""
    request_timeout_seconds: float = 10.0
    """Limit of one API request, so that a hanging server can't hang the loop."""

    def __post_init__(self) -> None:
        checks = (
            ("lease-seconds", self.lease_seconds, 3, "at least 3 seconds"),
            ("replay-speed", self.replay_speed, 1e-6, "a positive number of simulated seconds per second"),
            ("progress-timeout", self.progress_timeout_seconds, 1e-3, "a positive number of seconds"),
            ("room-wait", self.room_wait_seconds, 1e-3, "a positive number of seconds"),
            ("surge", self.surge_percent, 1e-3, "a positive number of percent"),
            ("compare-interval", self.compare_interval_seconds, 0.0, "zero or more seconds"),
            ("metrics-port", self.metrics_port, 0, "a port from 0 to 65535"),
            ("health-port", self.health_port, 0, "a port from 0 to 65535"),
        )
        for name, value, least, accepted in checks:
            if not value >= least or ("port" in name and value > 65535):
                raise InvalidInputError(f"--{name}", value, accepted)
        if self.prometheus_url and re.search(URL_PATTERN, self.prometheus_url) is None:
            accepted = "an http or https address without user, query or fragment"
            raise InvalidInputError("--prometheus-url", self.prometheus_url, accepted)

    @property
    def hysteresis(self) -> Hysteresis:
        """What a serving's change has to gain."""
        return Hysteresis(
            fraction=self.hysteresis_fraction,
            at_once_fraction=self.at_once_fraction,
            lasting=timedelta(seconds=self.lasting_seconds),
        )

    @property
    def lease_renew_seconds(self) -> float:
        """How long a leader tries to renew before it stops: two thirds of the Lease, so it stops first."""
        return self.lease_seconds * 2 / 3

    @property
    def lease_retry_seconds(self) -> float:
        """Time between two attempts: an eighth of the Lease gives five of them before a leader stops."""
        return self.lease_seconds / 8
