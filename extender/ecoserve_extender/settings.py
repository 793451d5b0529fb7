"""Everything that can be set, each with its unit, default and the reason for it."""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path

from ecoserve.errors import InvalidInputError


class UseFrom(StrEnum):
    """Sources of measured use."""

    REQUESTS = "requests"
    METRICS_API = "metrics-api"
    PROMETHEUS = "prometheus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a CPU node counts as idle, and what stays free on it for online load. Shares of allocatable, 0 to 1."""

    busy_share: float = 0.5
    """A node whose online pods request more than this is busy: half leaves room for load that doubles."""

    headroom_share: float = 0.2
    """What offline pods leave free of CPU and memory: an online replica that starts finds room at once."""

    stalled_share: float = 0.1
    """A node is under pressure where tasks wait for CPU or memory for more than this share of the time."""

    def __post_init__(self) -> None:
        for item in fields(self):
            share = getattr(self, item.name)
            if not 0 <= share <= 1:
                raise InvalidInputError(item.name, share, "a share from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A listener for schedulers elsewhere: both sides show a certificate. All files are PEM."""

    port: int
    """TCP port on all addresses."""

    certificate: Path
    """The server's certificate, with the chain above it."""

    key: Path
    """Its private key."""

    client_ca: Path
    """Authorities whose certificates clients must show: who may ask decides where pods land."""

    def __post_init__(self) -> None:
        check_port("tls_port", self.port)
        for name in ("certificate", "key", "client_ca"):
            path = getattr(self, name)
            if not path.is_file():
                raise InvalidInputError(f"tls_{name}", str(path), "a readable PEM file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What callers may use up. A scheduler stays far below; beyond, calls are refused and it tries again."""

    max_body_bytes: int = 16 * 2**20
    """Longest body: the largest pod etcd holds (1.5 MB) and the names of 50,000 nodes are some 5 MB."""

    max_calls_per_second: float = 2_000.0
    """Filter and prioritize calls together, on average: some ten times what one kube-scheduler sends."""

    max_connections: int = 256
    """Connections at once to each listener, beyond which the oldest is closed: a scheduler keeps one or two for each of its 16 binding
    goroutines at most."""

    def __post_init__(self) -> None:
        for item in fields(self):
            if not getattr(self, item.name) > 0:
                raise InvalidInputError(item.name, getattr(self, item.name), "a number above zero")


def check_port(field_name: str, port: int) -> None:
    """Raise InvalidInputError for what is no TCP port."""
    if not 0 < port < 65536:
        raise InvalidInputError(field_name, port, "a TCP port from 1 to 65535")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one extender process."""

    port: int = 8888
    """TCP port of all paths on 127.0.0.1: the scheduler beside it needs neither TLS nor DNS there."""

    observe_port: int | None = None
    """TCP port on all addresses of what only looks: probes, metrics, explain. None: on 127.0.0.1 only."""

    tls: Tls | None = None
    """A second listener of all paths, for a scheduler that can't be beside it."""

    limits: Limits = field(default_factory=Limits)

    kubeconfig: Path | None = None
    """Credentials; None means the pod's own ServiceAccount."""

    thresholds: Thresholds = field(default_factory=Thresholds)

    use: UseFrom = UseFrom.METRICS_API
    """Where measured use of nodes comes from; where it can't be had, requests are taken."""

    prometheus_url: str | None = None
    """Address of a Prometheus that scrapes the kubelets, for `use` PROMETHEUS."""

    use_seconds: float = 15.0
    """Between two readings of measured use: what metrics-server and most scrapes refresh at."""

    thinning_seconds: float = 10.0
    """Between two looks for nodes whose online load has grown; 0: offline pods are never evicted."""

    reservation_seconds: float = 10.0
    """How long an answered pod counts as about to land: well above any bind, so that only lost pods expire."""

    plan_stale_seconds: float = 900.0
    """A plan not renewed for so long is stale, and decisions say so: the operator writes to it about every minute."""

    plan_expired_seconds: float = 6 * 3600.0
    """A plan not renewed for so long counts no more: the operator holds its own signals for as long."""

    candidates_kept: int = 1_000_000
    """Candidates remembered, all pods together: those of some 200 pods at 5,000 nodes, more than wait for their bind; 11 bytes each.
    A pod counts as a hundred more, so that at three nodes some 10,000 pods are remembered."""

    watch_silence_seconds: float = 120.0
    """A watch silent for so long is dead and reopened: the API server sends a bookmark about every minute."""

    retries_per_second: float = 200.0
    """Refused pods called back: as many as the scheduler binds."""

    decisions_per_second: float = 20.0
    """Decisions written onto bound pods: a burst is bound first and told of while it starts; /explain tells at once."""

    decisions_wait_seconds: float = 10.0
    """How long a decision waits at most while the scheduler goes on asking; well below `unasked_seconds`."""

    unasked_seconds: float = 30.0
    """How long a bound pod that nobody asked us about is left to other replicas: longer than they mostly take to write."""

    annotation_queue: int = 10_000
    """Annotations of each kind waiting at most; beyond this they are dropped and counted, so that memory stays bounded."""

    def __post_init__(self) -> None:
        check_port("port", self.port)
        if self.observe_port is not None:
            check_port("observe_port", self.observe_port)
        ports = [self.port, self.observe_port, self.tls.port if self.tls else None]
        taken = [port for port in ports if port is not None]
        if len(set(taken)) < len(taken):
            raise InvalidInputError("port", self.port, "listeners need ports of their own")
        if (self.use is UseFrom.PROMETHEUS) != (self.prometheus_url is not None):
            raise InvalidInputError(
                "prometheus_url", self.prometheus_url, "an http(s) address, together with --use prometheus"
            )
        if self.prometheus_url is not None and not self.prometheus_url.startswith(("http://", "https://")):
            raise InvalidInputError("prometheus_url", self.prometheus_url, "an http(s) address")
        if not self.thinning_seconds >= 0:
            raise InvalidInputError("thinning_seconds", self.thinning_seconds, "a number from zero up")
        for name in ("reservation_seconds", "retries_per_second", "decisions_per_second", "unasked_seconds"):
            if not getattr(self, name) > 0:
                raise InvalidInputError(name, getattr(self, name), "a number above zero")
