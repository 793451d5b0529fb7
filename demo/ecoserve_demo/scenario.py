"""What the demonstration plays: its files, its day and its pace."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "examples" / "demo"
FLEET = REPOSITORY / "examples" / "fleets" / "demo.yaml"
CHART = REPOSITORY / "helm" / "ecoserve"

SYSTEM_NAMESPACE = "ecoserve-system"
NAMESPACE = "demo"
OFFLINE_SELECTOR = "app=nightly-scoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One day, played at `seconds_per_hour`."""

    start: datetime = datetime(2022, 4, 20, tzinfo=UTC)
    """The day of the intensity series in examples/demo/grid.yaml."""
    hours: int = 24
    seconds_per_hour: float = 5.0
    """Real seconds that an hour takes: enough for a plan, a model load and a look at the screen."""

    @property
    def end(self) -> datetime:
        """The end of the day that is played."""
        return self.start + timedelta(hours=self.hours)

    @property
    def speed(self) -> float:
        """Simulated seconds per real second."""
        return 3600.0 / self.seconds_per_hour
