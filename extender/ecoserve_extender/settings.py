"""Everything that can be set, each with its unit, default and the reason for it."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from ecoserve.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a CPU node counts as idle, and what stays free on it for online load. Shares of allocatable, 0 to 1."""

    busy_share: float = 0.5
    """A node whose online pods request more than this is busy: half leaves room for load that doubles."""

    headroom_share: float = 0.2
    """What offline pods leave free of CPU and memory: an online replica that starts finds room at once."""

    def __post_init__(self) -> None:
        for item in fields(self):
            share = getattr(self, item.name)
            if not 0 <= share <= 1:
                raise InvalidInputError(item.name, share, "a share from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one extender process."""

    host: str = "127.0.0.1"
    """Address to listen on: localhost, as a sidecar of its scheduler, needs neither TLS nor DNS."""

    port: int = 8888
    """TCP port of all paths: verbs, explain, probes and metrics."""

    kubeconfig: Path | None = None
    """Credentials; None means the pod's own ServiceAccount."""

    thresholds: Thresholds = field(default_factory=Thresholds)

    reservation_seconds: float = 10.0
    """How long an answered pod counts as about to land: well above any bind, so that only lost pods expire."""

    candidates_kept: int = 200_000
    """Scored candidates remembered for explain, all pods together: at 17 bytes each, about 4 MB."""

    watch_silence_seconds: float = 120.0
    """A watch silent for so long is dead and reopened: the API server sends a bookmark about every minute."""

    annotation_writers: int = 4
    """Decision annotations written at a time: keeps up with a scheduler binding 200 pods/s."""

    annotation_queue: int = 10_000
    """Annotations waiting at most; beyond this they are dropped and counted, so that memory stays bounded."""

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise InvalidInputError("port", self.port, "a TCP port from 1 to 65535")
        if not self.reservation_seconds > 0:
            raise InvalidInputError("reservation_seconds", self.reservation_seconds, "a number above zero")
