"""From files to a snapshot: manifests, fleet files and intensities given on the command line."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from ecoserve.api import GridZone, LLMServing
from ecoserve.api.base import ObjectMeta
from ecoserve.api.gridzone import GridZoneSpec, IntensitySource
from ecoserve.api.labels import ZONE
from ecoserve.api.manifests import Manifests, load_manifests
from ecoserve.carbon import IntensitySeries, parse_intensity_csv
from ecoserve.catalog import Catalog, load_catalog
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot, serving_demand
from ecoserve.fleet.fleet_file import load_fleet
from ecoserve.fleet.hardware import check_profile
from ecoserve.fleet.nodes import NodeFacts, node_facts
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.times import parse_utc
from ecoserve.units import MOST_GRAMS_PER_KWH
from ecoserve.workload.measured import told_load
from ecoserve.workload.slices import ServingDemand

EVERY_ZONE = ""
"""The name that an intensity without a zone is kept under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the files hold, read once, from which the snapshot of any moment follows."""

    manifests: Manifests
    nodes: tuple[NodeFacts, ...]
    intensities: Mapping[str, float]

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that nodes stand in, sorted."""
        return tuple(sorted({node.labels[ZONE] for node in self.nodes if ZONE in node.labels}))

    def snapshot_at(self, now: datetime, *, mean_intensity: bool = False) -> Snapshot:
        """Return the snapshot at a time, with a series' intensity then or, for plans over years, its mean.

        Raises InvalidInputError for the first thing wrong.
        """
        catalog = load_catalog()
        return assemble_snapshot(
            [_demand(serving, catalog, now) for serving in self.manifests.servings],
            self.nodes,
            _readings(self.manifests, self.nodes, self.intensities, None if mean_intensity else now),
            self.manifests.profiles,
            catalog,
            now,
        )


def read_sources(
    files: Sequence[Path], intensities: Sequence[str] = (), *, needs_servings: bool = True
) -> Sources:
    """Read files and `--intensity` values; raises InvalidInputError for the first thing wrong."""
    manifests = load_manifests(files)
    for profile in manifests.profiles:
        check_profile(profile, load_catalog())
    if needs_servings and not manifests.servings:
        raise InvalidInputError("files", _names(files), "at least one LLMServing must be among them")
    nodes = _nodes(manifests)
    if not nodes:
        raise InvalidInputError(
            "files", _names(files), "a Node or a fleet file with nodes must be among them"
        )
    return Sources(manifests=manifests, nodes=tuple(nodes), intensities=parse_intensities(intensities))


def parse_time(text: str | None) -> datetime:
    """Return the time a user gave (UTC where it names no zone), or now."""
    return datetime.now(UTC) if text is None else parse_utc(text, "--at")


def parse_intensities(given: Sequence[str]) -> dict[str, float]:
    """Read `261` (kept under the empty name) and `ZONE=261`."""
    parsed: dict[str, float] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            grams = float(number)
        except ValueError:
            grams = math.nan
        if not 0 <= grams <= MOST_GRAMS_PER_KWH or ("=" in text and not name):
            raise InvalidInputError(
                "--intensity", text, f"gCO2e/kWh from 0 to {MOST_GRAMS_PER_KWH:,.0f}, or ZONE=gCO2e/kWh"
            )
        parsed[name] = grams
    return parsed


def intensity_series(grid: GridZone, config_maps: Sequence[Mapping[str, Any]]) -> IntensitySeries | None:
    """Return the series behind a GridZone; None where it states a number or names a provider."""
    source = grid.spec.intensity.config_map
    if source is None:
        return None
    for document in config_maps:
        metadata, data = (document.get(field) or {} for field in ("metadata", "data"))
        if not isinstance(metadata, Mapping) or not isinstance(data, Mapping):
            raise InvalidInputError("ConfigMap", document, "one whose metadata and data are objects")
        if (metadata.get("namespace", "default"), metadata.get("name")) == (source.namespace, source.name):
            if source.key not in data:
                raise UnknownNameError(
                    f"GridZone {grid.metadata.name}: configMap.key", source.key, map(str, data)
                )
            where = f"ConfigMap {source.name} {source.key}"
            return parse_intensity_csv(str(data[source.key]), where, grid.spec.signal, grid.spec.accounting)
    raise InvalidInputError(
        f"GridZone {grid.metadata.name}: spec.intensity.configMap",
        f"{source.namespace}/{source.name}",
        "a ConfigMap among the files",
    )


def _demand(serving: LLMServing, catalog: Catalog, now: datetime) -> ServingDemand:
    told = serving.status.load if serving.status is not None else None
    loads = {} if told is None else {"online": told.online, "offline": told.offline}
    measured = {name: told_load(status) for name, status in loads.items() if status is not None}
    try:
        return serving_demand(serving, catalog, now, measured)
    except InvalidInputError as error:
        raise error.within(f"LLMServing {serving.metadata.name}") from None


def _nodes(manifests: Manifests) -> list[NodeFacts]:
    documents = list(manifests.nodes)
    for path in manifests.fleets:
        documents += load_fleet(path).nodes()
    return [node_facts(document) for document in documents]


def _readings(
    manifests: Manifests, nodes: Sequence[NodeFacts], given: Mapping[str, float], now: datetime | None
) -> list[ZoneReading]:
    """Return a reading for each zone that nodes stand in; zones without a figure are left out."""
    grids = grids_by_zone(manifests.grid_zones)
    standing = sorted({node.labels[ZONE] for node in nodes if ZONE in node.labels})
    known = {*standing, *grids, *(grid.metadata.name for grid in manifests.grid_zones)}
    for name in given:
        if name != EVERY_ZONE and name not in known:
            raise UnknownNameError("--intensity zone", name, known)
    readings = []
    for zone in standing:
        grid = grids.get(zone)
        names = (zone, grid.metadata.name if grid else zone, EVERY_ZONE)
        override = next((given[name] for name in names if name in given), None)
        if override is not None:
            of_zone = _of_zone(grid, zone, override)
            readings.append(
                ZoneReading(grid=of_zone, grams_per_kwh=override, accounting=of_zone.spec.accounting)
            )
        elif grid is not None:
            readings.append(_reading(grid, zone, manifests, now))
    return readings


def grids_by_zone(grids: Sequence[GridZone]) -> dict[str, GridZone]:
    """Return the GridZone of each zone; raises InvalidInputError where two claim one."""
    by_zone: dict[str, GridZone] = {}
    for grid in grids:
        for zone in grid.spec.zones or (grid.metadata.name,):
            if zone in by_zone:
                raise InvalidInputError(
                    f"GridZone {grid.metadata.name}: spec.zones",
                    zone,
                    f"a zone of its own; GridZone {by_zone[zone].metadata.name} has this one",
                )
            by_zone[zone] = grid
    return by_zone


def _of_zone(grid: GridZone | None, zone: str, grams: float) -> GridZone:
    """Return a GridZone of this one zone; where none is given, one with the default PUE."""
    if grid is None:
        spec = GridZoneSpec(zones=(zone,), intensity=IntensitySource(grams_per_kilowatt_hour=grams))
        return GridZone(metadata=ObjectMeta(name=zone), spec=spec)
    return grid.model_copy(update={"spec": grid.spec.model_copy(update={"zones": (zone,)})})


def _reading(grid: GridZone, zone: str, manifests: Manifests, now: datetime | None) -> ZoneReading:
    """Return a zone's intensity at a time; without one, the mean of a series."""
    source = grid.spec.intensity
    series = intensity_series(grid, manifests.config_maps)
    if source.asked:
        grams, accounting = _told(grid), grid.spec.accounting
    elif series is None or source.config_map is None:
        grams, accounting = source.grams_per_kilowatt_hour or 0.0, grid.spec.accounting
    else:
        repeat = source.config_map.repeat
        grams = fmean(series.grams_per_kwh) if now is None else series.at(now, repeat=repeat)
        accounting = series.accounting
    return ZoneReading(grid=_of_zone(grid, zone, grams), grams_per_kwh=grams, accounting=accounting)


def _told(grid: GridZone) -> float:
    """Return what a provider told the operator, from the zone's status; nothing here asks a provider."""
    grams = grid.status.grams_per_kilowatt_hour if grid.status is not None else None
    if grams is None:
        name = grid.metadata.name
        raise InvalidInputError(
            f"GridZone {name}: spec.intensity",
            "a provider",
            f"--intensity {name}=gCO2e/kWh beside it, or the zone as the cluster has it, with a status; "
            "only the operator asks providers",
        )
    return grams


def _names(files: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in files)
