"""What stands today: nodes of one kind in one zone, in batches by age, with the watts and kilograms of one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ecoserve.carbon import (
    ECOSERVE,
    CoefficientSet,
    accelerators_kg,
    host_embodied,
    host_idle_watts,
    host_of,
    watts_per_core_dynamic,
)
from ecoserve.catalog import InstanceType
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Snapshot, Zone, signal_of
from ecoserve.refresh.assumptions import LONGEST_HORIZON_YEARS

_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A host without accelerators, or the set of accelerators that one host holds.

    `idle_watts` counts while it is in service; `dynamic_watts` is what today's work adds to one of today's.
    """

    kg: float
    idle_watts: float
    dynamic_watts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """So many nodes of the same age in years."""

    nodes: int
    age_years: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Nodes alike but for their age in one zone; `accelerators` is None where they have none.

    `sku` is the HardwareProfile or the instance type. A HardwareProfile may state for how many years hosts and
    accelerators are kept.
    """

    sku: str
    zone: str
    carbon_intensity: float
    pue: float
    host: Part
    accelerators: Part | None
    accelerators_per_node: int
    batches: tuple[Batch, ...]
    host_years: int | None = None
    accelerator_years: int | None = None

    @property
    def name(self) -> str:
        """What it is and where."""
        return f"{self.sku} in {self.zone}"

    @property
    def nodes(self) -> int:
        """Nodes standing today."""
        return sum(batch.nodes for batch in self.batches)

    @property
    def oldest_years(self) -> float:
        """Age of the oldest batch."""
        return max(batch.age_years for batch in self.batches)


def kinds_of(
    snapshot: Snapshot, utilization: float, coefficients: CoefficientSet = ECOSERVE
) -> tuple[Kind, ...]:
    """Return the kinds of node in a snapshot. Nodes without an installation date count as new.

    Raises InvalidInputError for a date after the snapshot's, a stated life below a year, and where average and
    marginal intensities meet.
    """
    signal_of(snapshot.zones)
    today = snapshot.taken_at.date()
    found: dict[tuple[str, str], dict[InstanceType, list[Pool]]] = {}
    for pool in snapshot.pools:
        alike = found.setdefault((pool.profile or pool.instance.id, pool.zone), {})
        alike.setdefault(pool.instance, []).append(pool)
    return tuple(
        _kind(
            sku if number == 1 else f"{sku} #{number}",
            snapshot.zone(zone),
            pools,
            today,
            utilization,
            coefficients,
        )
        for (sku, zone), alike in sorted(found.items())
        for number, pools in enumerate(alike.values(), start=1)
    )


def _age_years(installed: str | None, today: date, pool: str) -> float:
    if installed is None:
        return 0.0
    days = (today - date.fromisoformat(installed)).days
    if days < 0:
        raise InvalidInputError(
            f"pool {pool}: installed", installed, f"a day up to {today}, which the plan begins with"
        )
    return days / _DAYS_PER_YEAR


def _stated_years(years: float | None, sku: str, what: str) -> int | None:
    if years is None:
        return None
    if not 1 <= years <= LONGEST_HORIZON_YEARS:
        raise InvalidInputError(
            f"HardwareProfile {sku}: {what}",
            years,
            f"a plan by years takes 1 to {LONGEST_HORIZON_YEARS}; a part of a year is left out",
        )
    return math.floor(years)


def _kind(
    sku: str,
    zone: Zone,
    pools: Sequence[Pool],
    today: date,
    utilization: float,
    coefficients: CoefficientSet,
) -> Kind:
    instance, stated = pools[0].instance, pools[0].stated_years
    ages: dict[float, int] = {}
    for pool in pools:
        age = _age_years(pool.installed, today, pool.name)
        ages[age] = ages.get(age, 0) + pool.nodes
    accelerator, count = instance.accelerator, instance.accelerator_count
    host_dynamic, cards = 0.0, None
    if accelerator is None:
        host_dynamic = instance.vcpus * watts_per_core_dynamic(instance) * utilization
    else:
        idle = accelerator.idle_watts + accelerator.loaded_idle_watts
        cards = Part(
            kg=accelerators_kg(instance, coefficients),
            idle_watts=count * idle,
            dynamic_watts=count * max(0.0, accelerator.tdp_watts - idle) * utilization,
        )
    return Kind(
        sku=sku,
        zone=zone.name,
        carbon_intensity=zone.carbon_intensity,
        pue=zone.pue,
        host=Part(
            kg=host_embodied(host_of(instance), coefficients).total_kg,
            idle_watts=host_idle_watts(instance),
            dynamic_watts=host_dynamic,
        ),
        accelerators=cards,
        accelerators_per_node=count,
        batches=tuple(Batch(nodes=ages[age], age_years=age) for age in sorted(ages, reverse=True)),
        host_years=_stated_years(stated.host, sku, "hostLifetimeYears"),
        accelerator_years=_stated_years(stated.accelerator, sku, "acceleratorLifetimeYears"),
    )
