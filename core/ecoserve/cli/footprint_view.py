"""A carbon account as tables and as JSON: totals, parts with their sources, and the range over coefficient sets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.carbon import Account, AccountTerms, AmortisationMethod, EmbodiedCarbon, NodeShape, Part
from ecoserve.carbon.coefficients import AcceleratorMethod, vendor_figures
from ecoserve.catalog import InstanceType

OverSets = tuple[Mapping[str, Account], Mapping[str, str]]
"""The account under each set that has the figures, and why the others have none."""

_HOURS = {
    AmortisationMethod.CALENDAR: "hour of the calendar",
    AmortisationMethod.AGE: "hour of the calendar",
    AmortisationMethod.USE: "hour of use",
}
_CARD_FIGURES = {
    AcceleratorMethod.CARD_PARTS: ("memory_gib", "memory_type", "soc_kg", "pcb_cm2", "psu_watts"),
    AcceleratorMethod.LOGIC_AND_MEMORY: ("memory_gib", "memory_type", "die_mm2", "process_nm"),
    AcceleratorMethod.PUBLISHED: (),
}
_TOTALS: Mapping[str, Callable[[Account], float | None]] = {
    "gpuKg": lambda account: account.gpu_kg,
    "hostKg": lambda account: account.host_kg,
    "nodeKg": lambda account: account.node_kg,
    "embodiedGramsPerHour": lambda account: account.embodied_grams_per_hour,
    "operationalGramsPerHour": lambda account: account.operational_grams_per_hour,
    "powerKilowatts": lambda account: account.rated_watts / 1000.0,
    "crossoverIntensity": lambda account: account.crossover_grams_per_kwh,
}
_RANGED = ("gpuKg", "hostKg", "nodeKg", "embodiedGramsPerHour", "crossoverIntensity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an account is of. `name` and `instance` are None for a node by its numbers."""

    name: str | None
    shape: NodeShape
    instance: InstanceType | None

    @property
    def words(self) -> str:
        """The name, and what it holds."""
        shape, holds = self.shape, []
        if shape.accelerator is not None:
            holds.append(f"{shape.accelerator_count} × {shape.accelerator.id}")
        if shape.host is not None:
            host = shape.host
            holds.append(
                f"{host.dram_gb:g} GB DRAM, {host.ssd_gb:g} GB SSD, processors {shape.cpu_watts:g} W"
            )
        listed = ", ".join(holds)
        return listed if self.name is None else f"{self.name} ({listed})"

    def unchecked(self, account: Account) -> tuple[str, ...]:
        """Names of the catalogue's figures behind an account that nobody has checked."""
        accelerator, instance = self.shape.accelerator, self.instance
        names: list[str] = []
        if accelerator is not None:
            used = ("tdp_watts", *_CARD_FIGURES[account.coefficients.accelerator])
            names += [f"{accelerator.id}.{field}" for field in accelerator.unchecked if field in used]
        if instance is not None:
            used = ("memory_gib", "ssd_gb", "cpu", "sockets")
            names += [f"{instance.id}.{field}" for field in instance.unchecked if field in used]
            if "tdp_watts" in instance.cpu.unchecked:
                names.append(f"{instance.cpu.id}.tdp_watts")
        return tuple(names)


def document(
    subject: Subject, terms: AccountTerms, account: Account, over_sets: OverSets | None
) -> dict[str, Any]:
    """Return an account as plain values, unrounded; a crossover that does not exist is null."""
    spread, years = terms.amortisation, terms.amortisation.effective
    coefficients = account.coefficients
    found: dict[str, Any] = {
        "kind": "Footprint",
        "of": subject.words,
        **_totals(account),
        "parts": {
            name: {part: item.kg for part, item in embodied.parts.items()}
            for name, embodied in _embodied(account)
        },
        "figures": [
            {
                "part": f"{name}.{part}",
                "kg": item.kg,
                "scope": item.scope.value,
                "source": item.source,
                "borrowed": item.borrowed,
            }
            for name, part, item in _parts(account)
        ],
        "coefficients": coefficients.name,
        "scope": coefficients.scope,
        "source": coefficients.source,
        "meanPowerKilowatts": account.mean_watts / 1000.0,
        "terms": {
            "intensity": terms.intensity.grams_per_kwh,
            "signal": terms.intensity.signal.value,
            "utilization": terms.utilization,
            "pue": terms.pue,
            "power": terms.power_model.value,
            "amortisation": spread.method.value,
            "hostLifetimeYears": spread.lifetimes.host_years,
            "acceleratorLifetimeYears": spread.lifetimes.accelerator_years,
            "hostAgeYears": spread.host_age_years,
            "acceleratorAgeYears": spread.accelerator_age_years,
            "hostYearsCounted": years.host_years,
            "acceleratorYearsCounted": years.accelerator_years,
            "gramsPer": _HOURS[spread.method],
        },
        "notes": _notes(account),
        "notCounted": list(account.gaps),
        "unchecked": list(subject.unchecked(account)),
    }
    if over_sets is not None:
        found |= _range_document(subject, over_sets)
    return found


def _notes(account: Account) -> list[str]:
    """Return what a reader who adds up the figures has to know."""
    if account.gpu is None or account.host is None:
        return []
    return ["nodeKg adds cards rounded to 0.1 kg, as the EcoServe authors' node totals do"]


def _totals(account: Account) -> dict[str, float | None]:
    return {name: value(account) for name, value in _TOTALS.items()}


def _embodied(account: Account) -> Iterator[tuple[str, EmbodiedCarbon]]:
    if account.gpu is not None:
        yield "gpu", account.gpu
    if account.host is not None:
        yield "host", account.host


def _parts(account: Account) -> Iterator[tuple[str, str, Part]]:
    for name, embodied in _embodied(account):
        for part, item in embodied.parts.items():
            yield name, part, item


def _range_document(subject: Subject, over_sets: OverSets) -> dict[str, Any]:
    accounts, gaps = over_sets
    least_and_most = {}
    for name in _RANGED:
        (least, least_set), (most, most_set) = _extremes(accounts, name)
        least_and_most[name] = {
            "least": least, "leastCoefficients": least_set, "most": most, "mostCoefficients": most_set,
        }  # fmt: skip
    sets = {
        name: {
            **_totals(item),
            "scope": item.coefficients.scope,
            "borrowed": _borrowed(item),
            "notCounted": list(item.gaps),
        }
        for name, item in accounts.items()
    }
    return {"range": least_and_most, "sets": sets, "gaps": dict(gaps), "vendorGpuKg": _vendor(subject)}


def _extremes(
    accounts: Mapping[str, Account], total: str
) -> tuple[tuple[float | None, str], tuple[float | None, str]]:
    """Return the least and the most of a total with the first set that says so; None where it does not exist."""
    values = [(value, name) for name, item in accounts.items() if (value := _TOTALS[total](item)) is not None]
    if not values:
        return (None, ""), (None, "")
    return min(values, key=lambda pair: pair[0]), max(values, key=lambda pair: pair[0])


def _borrowed(account: Account) -> list[str]:
    return [f"{name}.{part}" for name, part, item in _parts(account) if item.borrowed]


def _vendor(subject: Subject) -> dict[str, Any] | None:
    accelerator = subject.shape.accelerator
    figure = None if accelerator is None else vendor_figures().get(accelerator.id)
    return None if figure is None else {"kg": figure.kg, "source": figure.source}


def show(
    subject: Subject, terms: AccountTerms, account: Account, over_sets: OverSets | None, console: Console
) -> None:
    """Print the parts, the totals and, where asked for, the range over the sets."""
    console.print(f"Embodied carbon of {subject.words}")
    console.print(_part_table(subject, account))
    for line in _total_lines(subject, terms, account):
        console.print(line)
    for gap in account.gaps:
        console.print(f"  NOT COUNTED: {gap}; give --cpu")
    unchecked = subject.unchecked(account)
    if unchecked:
        console.print(f"  Figures nobody has checked: {', '.join(unchecked)}")
    if over_sets is not None:
        for item in _range_tables(subject, over_sets):
            console.print(item)


def _part_table(subject: Subject, account: Account) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("part")
    table.add_column("kgCO2e", justify="right")
    table.add_column("scope")
    table.add_column("source", overflow="fold")
    for name, embodied in _embodied(account):
        whole = (
            f"one {subject.shape.accelerator.id}"
            if name == "gpu" and subject.shape.accelerator is not None
            else "host"
        )
        table.add_row(whole, f"{embodied.total_kg:.1f}")
        for part, item in embodied.parts.items():
            table.add_row(f"  {part}", f"{item.kg:.1f}", item.scope.value, item.source)
    return table


def _total_lines(subject: Subject, terms: AccountTerms, account: Account) -> Iterator[str]:
    shape, spread = subject.shape, terms.amortisation
    if account.gpu is not None and account.host is not None:
        yield (
            f"  node {account.node_kg:.1f} kgCO2e = {shape.accelerator_count} × {account.gpu_kg:.1f} + "
            f"{account.host_kg:.1f} by coefficients {account.coefficients.name} ({account.coefficients.scope})"
        )
    else:
        yield (
            f"  {account.node_kg:.1f} kgCO2e by coefficients {account.coefficients.name} "
            f"({account.coefficients.scope})"
        )
    years = spread.effective
    apart = (
        f"{years.host_years:g} years"
        if years.host_years == years.accelerator_years
        else f"{years.host_years:g} years of the host and {years.accelerator_years:g} of its accelerators"
    )
    per = _HOURS[spread.method]
    yield f"  embodied {account.embodied_grams_per_hour:.1f} g per {per}, over {apart} ({spread.method.value})"
    yield (
        f"  operational {account.operational_grams_per_hour:.1f} g per {per} at "
        f"{terms.intensity.grams_per_kwh:g} g/kWh: rated {account.rated_watts / 1000:.3g} kW, "
        f"{account.mean_watts / 1000:.3g} kW at utilization {terms.utilization:g} ({terms.power_model.value}), "
        f"PUE {terms.pue:g}"
    )
    crossover = account.crossover_grams_per_kwh
    if crossover is None:
        yield "  nothing is drawn: embodied carbon is all there is on any grid"
    else:
        yield f"  crossover {crossover:.1f} g/kWh: embodied carbon is the larger part on cleaner grids"


def _range_tables(subject: Subject, over_sets: OverSets) -> Iterator[Table | str]:
    accounts, gaps = over_sets
    table = Table(title="By every set; they count different things", box=box.SIMPLE_HEAD)
    table.add_column("coefficients", no_wrap=True)
    for heading in ("GPU kg", "host kg", "node kg", "emb. g/h", "crossover g/kWh"):
        table.add_column(heading, justify="right")
    for name, item in accounts.items():
        table.add_row(name, *(_one_digit(_TOTALS[total](item)) for total in _RANGED))
    table.add_section()
    ends = [_extremes(accounts, total) for total in _RANGED]
    for row, end in (("least", 0), ("most", 1)):
        table.add_row(row, *(_one_digit(pair[end][0]) for pair in ends))
    yield table
    for name, item in accounts.items():
        yield f"  {name} counts: {item.coefficients.scope}{_shortfalls(item)}"
    for name, reason in gaps.items():
        yield f"  {name} has no account: {reason}"
    vendor = _vendor(subject)
    if vendor is not None:
        yield f"  for comparison, in no set: {vendor['kg']:g} kg per card, {vendor['source']}"


def _one_digit(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _shortfalls(account: Account) -> str:
    """Return in words what a set borrows from another and what it should count and does not."""
    words = []
    for name, embodied in _embodied(account):
        borrowed = [part for part, item in embodied.parts.items() if item.borrowed]
        if borrowed:
            listed = "all" if len(borrowed) == len(embodied.parts) else ", ".join(borrowed)
            words.append(f"borrowed of the {name}: {listed}")
    words += [f"NOT COUNTED: {gap}" for gap in account.gaps]
    return "".join(f"; {item}" for item in words)
