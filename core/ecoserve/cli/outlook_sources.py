"""From files and options to the hours ahead: series of grids and load, by zone and stream."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from ecoserve.api import GridZone
from ecoserve.carbon import IntensitySeries, parse_intensity_csv
from ecoserve.cli.sources import EVERY_ZONE, Sources, grids_by_zone, intensity_series
from ecoserve.documents import read_text
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.planner.outlook import GridSeries, Outlook
from ecoserve.workload.forecast import HOUR, WEEK, Forecast, of_intensity, parse_load_csv

_NEWEST = WEEK
"""Yesterday is no forecast of a day months later: a series must end less than this before it is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSeries:
    """The text of a CSV and what to call it in an error; what its figures mean is the GridZone's to say."""

    text: str
    field: str

    def of(self, grid: GridZone | None) -> IntensitySeries:
        """Return the series as one of a grid; raises InvalidInputError where it is none."""
        if grid is None:
            return parse_intensity_csv(self.text, self.field)
        return parse_intensity_csv(self.text, self.field, grid.spec.signal, grid.spec.accounting)


def read_intensity_option(
    given: Sequence[str], option: str
) -> tuple[tuple[str, ...], dict[str, GivenSeries]]:
    """Split `261`, `ZONE=261`, `FILE.csv` and `ZONE=FILE.csv` into numbers, as written, and series by zone.

    Raises InvalidInputError for a file that can't be read.
    """
    numbers: list[str] = []
    series: dict[str, GivenSeries] = {}
    for text in given:
        zone, path = _split(text)
        if path.suffix.lower() == ".csv":
            series[zone] = GivenSeries(text=read_text(path, "CSV"), field=f"{option} {path.name}")
        else:
            numbers.append(text)
    return tuple(numbers), series


def read_load_option(path: Path | None, sources: Sources) -> dict[str, Forecast]:
    """Read `--load`: requests/s by stream, each named NAME/online or NAMESPACE/NAME/offline.

    Raises InvalidInputError, also for a stream that no LLMServing among the files has.
    """
    if path is None:
        return {}
    known: dict[str, str] = {}
    for serving in sources.manifests.servings:
        namespace, name = serving.metadata.namespace or "default", serving.metadata.name
        for traffic_class in ("online", "offline"):
            if getattr(serving.spec, traffic_class) is not None:
                full = f"{namespace}/{name}/{traffic_class}"
                known |= {full: full, f"{name}/{traffic_class}": full}
    loads = {}
    for stream, series in parse_load_csv(read_text(path, "CSV"), f"--load {path.name}").items():
        if stream not in known:
            raise UnknownNameError("--load column", stream, known)
        loads[known[stream]] = series
    return loads


def outlook_of(
    sources: Sources,
    given: Mapping[str, GivenSeries],
    loads: Mapping[str, Forecast],
    start: datetime,
    hours: int,
) -> Outlook:
    """Return where the hours from `start` come from: given series first, then those of GridZones.

    Raises InvalidInputError for an unknown zone and a series that tells nothing about these hours.
    """
    grids = grids_by_zone(sources.manifests.grid_zones)
    known = {
        EVERY_ZONE,
        *sources.zones,
        *grids,
        *(grid.metadata.name for grid in sources.manifests.grid_zones),
    }
    for name in given:
        if name not in known:
            raise UnknownNameError("zone of a series", name, known - {EVERY_ZONE})
    series: dict[str, GridSeries] = {}
    for zone in sources.zones:
        grid = grids.get(zone)
        names = (zone, grid.metadata.name if grid else zone, EVERY_ZONE)
        own = next((given[name] for name in names if name in given), None)
        if own is not None:
            series[zone] = GridSeries(series=of_intensity(own.of(grid)))
        elif grid is not None and not any(name in sources.intensities for name in names):
            found = intensity_series(grid, sources.manifests.config_maps)
            source = grid.spec.intensity.config_map
            if found is not None and source is not None:
                series[zone] = GridSeries(series=of_intensity(found), repeat=source.repeat)
    for zone, item in series.items():
        if not item.repeat:
            _check_reach(f"intensity of {zone}", item.series, start, hours)
    for stream, load in loads.items():
        _check_reach(f"load of {stream}", load, start, hours)
    placeholders = dict.fromkeys(series, 0.0)
    fixed = replace(sources, intensities={**sources.intensities, **placeholders})
    # A rolling run asks for the same hours again and again.
    return Outlook(snapshot_at=lru_cache(maxsize=512)(fixed.snapshot_at), grids=series, loads=loads)


def check_covers(outlook: Outlook, zones: Iterable[str], start: datetime, hours: int, option: str) -> None:
    """Raise InvalidInputError where a zone's series does not tell what came in these hours."""
    end = start + HOUR * hours
    for zone in zones:
        grid = outlook.grids.get(zone)
        if grid is None or grid.repeat:
            continue
        series = grid.series
        if not (series.start <= start and end <= series.end):
            raise InvalidInputError(
                f"{option} of {zone}",
                _span(series),
                f"a series that covers {start.isoformat()} to {end.isoformat()}",
            )


def _split(text: str) -> tuple[str, Path]:
    """Return zone and the rest; a file may have = in its name."""
    if "=" not in text or Path(text).is_file():
        return EVERY_ZONE, Path(text)
    zone, _, rest = text.partition("=")
    return zone, Path(rest)


def _check_reach(what: str, series: Forecast, start: datetime, hours: int) -> None:
    if series.end + _NEWEST <= start or series.start >= start + HOUR * hours:
        raise InvalidInputError(
            what,
            _span(series),
            f"a series of the hours from {start.isoformat()} on, or of the week before them",
        )


def _span(series: Forecast) -> str:
    return f"{series.start.isoformat()} to {series.end.isoformat()}"
