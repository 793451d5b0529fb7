"""What the operator does with a grid's series, good and bad."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster


def series(*grams: str) -> str:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    rows = [f"{(start + timedelta(hours=hour)).isoformat()},{value}" for hour, value in enumerate(grams)]
    return "\n".join(["timestamp,carbon_intensity", *rows])


def test_a_series_is_followed_and_a_bad_one_is_held_at_its_last_value(world: Any) -> None:
    def grid(text: str) -> None:
        metadata = {"name": "west", "namespace": world.namespace}
        world.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"intensity.csv": text}}
        )

    def west() -> Any:
        return world.get("gridzone", "west").get("status", {})

    def fresh() -> Any:
        return next(iter(west().get("conditions", [])), {})

    grid(series("900", "40", "40", "40"))
    source = {"configMap": {"namespace": world.namespace, "name": "west"}}
    world.apply(
        {
            "apiVersion": "ecoserve.dev/v1alpha1",
            "kind": "GridZone",
            "metadata": {"name": "west"},
            "spec": {"intensity": source},
        }
    )
    world.eventually(lambda: fresh().get("reason") == "Series" and west()["gramsPerKilowattHour"] == 40)
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    (before,) = world.get("deployments")

    grid(series("900", "NaN", "40", "40"))
    world.eventually(lambda: fresh().get("reason") == "HeldAtLastValue")
    assert "line 3" in fresh()["message"]
    assert west()["gramsPerKilowattHour"] == 40
    world.eventually(world.has_condition("chat", "CarbonDataFresh", "False", "Stale"))
    (after,) = world.get("deployments")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]

    grid(series("900", "700", "700", "700"))
    world.eventually(lambda: fresh().get("reason") == "Series" and west()["gramsPerKilowattHour"] == 700)
    world.eventually(lambda: set(world.replicas_by_zone("chat")) == {"east"})
