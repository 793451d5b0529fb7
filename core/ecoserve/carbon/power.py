"""Mean power of a node at a utilisation, by three models that answer different questions.

- `rated`: rated power times utilisation, as the EcoServe authors reckon. An idle node draws nothing, so it
  understates nodes that are seldom busy.
- `loaded-idle`: a card draws its loaded idle (bare idle and what holding a model adds) and rises evenly to its TDP;
  processors follow GreenSKU's derating curve. What the devices draw.
- `wall`: the same with the losses of voltage regulators and power supplies that GreenSKU counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ecoserve.catalog import Accelerator

DERATING: Mapping[float, float] = {
    0.1: 0.20, 0.2: 0.28, 0.3: 0.36, 0.4: 0.44, 0.5: 0.53, 0.6: 0.62, 0.7: 0.70, 0.8: 0.79, 0.9: 0.88, 1.0: 0.95,
}  # fmt: skip
"""Share of its rated power a processor draws, by utilisation (GreenSKU, Wang et al., ISCA'24)."""

VOLTAGE_REGULATOR_OVERHEAD = 1.05
"""What regulators take in for one watt they hand on (GreenSKU)."""

PSU_EFFICIENCY = 0.95
"""Share of what power supplies take in that they hand on (GreenSKU)."""


class PowerModel(StrEnum):
    """How power follows utilisation."""

    RATED = "rated"
    LOADED_IDLE = "loaded-idle"
    WALL = "wall"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedPower:
    """What draws power in a node: so many cards, and processors of a rated power together."""

    accelerator: Accelerator | None
    accelerator_count: int
    cpu_watts: float

    @property
    def watts(self) -> float:
        """Rated power of cards and processors."""
        card_watts = 0.0 if self.accelerator is None else self.accelerator.tdp_watts
        return self.accelerator_count * card_watts + self.cpu_watts


def derating(utilization: float) -> float:
    """Share of its rated power a processor draws; between GreenSKU's points evenly.

    Below 10 %, where GreenSKU has no point, the first segment goes on: 12 % at idle.
    """
    points = sorted(DERATING.items())
    upper = next((i for i, (load, _) in enumerate(points) if load >= utilization and i > 0), 1)
    (low, share_low), (high, share_high) = points[upper - 1], points[upper]
    return share_low + (utilization - low) * (share_high - share_low) / (high - low)


def card_watts(accelerator: Accelerator, utilization: float) -> float:
    """Power of a card that holds a model: loaded idle at no use, TDP at full use, evenly between."""
    idle = min(accelerator.idle_watts + accelerator.loaded_idle_watts, accelerator.tdp_watts)
    return idle + utilization * (accelerator.tdp_watts - idle)


def mean_watts(node: RatedPower, utilization: float, model: PowerModel = PowerModel.RATED) -> float:
    """Mean power of a node at a utilisation from 0 to 1, before the facility's PUE."""
    if model is PowerModel.RATED:
        return utilization * node.watts
    cards = 0.0
    if node.accelerator is not None:
        cards = node.accelerator_count * card_watts(node.accelerator, utilization)
    watts = cards + node.cpu_watts * derating(utilization)
    return watts if model is PowerModel.LOADED_IDLE else watts * VOLTAGE_REGULATOR_OVERHEAD / PSU_EFFICIENCY
