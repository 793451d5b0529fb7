"""`ecoserve footprint`: the carbon account of a node or a card, from the catalogue or by its numbers."""

import json
import math
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from rich.console import Console

from ecoserve.carbon import (
    Account,
    AccountTerms,
    Amortisation,
    AmortisationMethod,
    AverageIntensity,
    Host,
    Lifetimes,
    NodeShape,
    PowerModel,
    account_of,
    accounts_by_set,
    coefficient_set,
    host_of,
)
from ecoserve.catalog import Catalog, load_catalog
from ecoserve.cli.footprint_view import Subject, document, show
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.units import MOST_GRAMS_PER_KWH

_ChoiceT = TypeVar("_ChoiceT", bound=StrEnum)

_MOST = 1e9
_MOST_GPUS = 1_000_000
_LONGEST_YEARS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FootprintRequest:
    """What was asked for at the command line; None where an option was not given."""

    name: str | None
    gpu: str | None
    gpus: int | None
    dram_gb: float | None
    ssd_gb: float | None
    cpu_watts: float | None
    cpu: str | None
    sockets: float | None
    coefficients: str
    intensity: float
    utilization: float
    lifetime_years: float
    host_lifetime_years: float | None
    accelerator_lifetime_years: float | None
    age_years: float
    host_age_years: float | None
    accelerator_age_years: float | None
    amortisation: str | None
    power: str
    pue: float
    over_sets: bool


def run_footprint(request: FootprintRequest, *, as_json: bool, console: Console) -> int:
    """Account and print; returns the exit status."""
    terms = _terms(request)
    coefficients = coefficient_set(request.coefficients)
    subject = _subject(request, load_catalog())
    account = account_of(subject.shape, terms, coefficients)
    found: tuple[dict[str, Account], dict[str, str]] | None = None
    if request.over_sets:
        accounts, gaps = accounts_by_set(subject.shape, terms)
        found = dict(accounts), {name: str(error) for name, error in gaps.items()}
    if as_json:
        json.dump(document(subject, terms, account, found), sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        show(subject, terms, account, found, console)
    return 0


def _terms(request: FootprintRequest) -> AccountTerms:
    """Return the terms; raises InvalidInputError naming the option of the first one that makes no sense."""
    utilization = _within("--utilization", request.utilization, 0, 1, "a share from 0 to 1")
    years = {
        option: _within(option, value, 1e-3, _LONGEST_YEARS, "years above 0, at most 1000")
        for option, value in (
            ("--lifetime-years", request.lifetime_years),
            ("--host-lifetime-years", _or(request.host_lifetime_years, request.lifetime_years)),
            ("--accelerator-lifetime-years", _or(request.accelerator_lifetime_years, request.lifetime_years)),
        )
    }
    ages = {
        option: _within(option, value, 0, _LONGEST_YEARS, "years from 0 to 1000")
        for option, value in (
            ("--age", request.age_years),
            ("--host-age", _or(request.host_age_years, request.age_years)),
            ("--accelerator-age", _or(request.accelerator_age_years, request.age_years)),
        )
    }
    amortisation = Amortisation(
        lifetimes=Lifetimes(
            host_years=years["--host-lifetime-years"],
            accelerator_years=years["--accelerator-lifetime-years"],
        ),
        method=_amortisation(request.amortisation, any(ages.values())),
        host_age_years=ages["--host-age"],
        accelerator_age_years=ages["--accelerator-age"],
    )
    amortisation.counted_share(utilization)
    return AccountTerms(
        intensity=AverageIntensity(
            grams_per_kwh=_within(
                "--intensity",
                request.intensity,
                0,
                MOST_GRAMS_PER_KWH,
                f"gCO2e/kWh from 0 to {MOST_GRAMS_PER_KWH:,.0f}",
            )
        ),
        utilization=utilization,
        amortisation=amortisation,
        pue=_within("--pue", request.pue, 1, 5, "a power usage effectiveness from 1 to 5"),
        power_model=_one_of("--power", request.power, PowerModel),
    )


def _amortisation(name: str | None, aged: bool) -> AmortisationMethod:
    """Return the method asked for: by age where an age is given, which another method would not heed."""
    default = AmortisationMethod.AGE if aged else AmortisationMethod.CALENDAR
    method = default if name is None else _one_of("--amortisation", name, AmortisationMethod)
    if aged and method is not AmortisationMethod.AGE:
        raise InvalidInputError("--amortisation", method.value, "age, as an age is given")
    return method


def _subject(request: FootprintRequest, catalog: Catalog) -> Subject:
    """Return what the account is of: a catalogue name, with numbers of its own in place, or numbers alone."""
    if request.name is None:
        return _by_numbers(request, catalog)
    if request.gpu is not None:
        raise InvalidInputError("--gpu", request.gpu, f"either a node by its numbers or {request.name!r}")
    if request.name in catalog.instances:
        return _instance(request.name, request, catalog)
    if request.name not in catalog.accelerators:
        raise UnknownNameError("node or GPU", request.name, {*catalog.instances, *catalog.accelerators})
    host_options = {
        "--dram-gb": request.dram_gb, "--ssd-gb": request.ssd_gb, "--cpu-watts": request.cpu_watts,
        "--cpu": request.cpu, "--sockets": request.sockets,
    }  # fmt: skip
    for option, value in host_options.items():
        if value is not None:
            accepted = f"a card has no host; --gpu {request.name} makes a node by its numbers"
            raise InvalidInputError(option, value, accepted)
    accelerator, count = catalog.accelerator(request.name), _gpus(request, 1)
    shape = NodeShape(accelerator=accelerator, accelerator_count=count, host=None)
    return Subject(name=request.name, shape=shape, instance=None)


def _instance(name: str, request: FootprintRequest, catalog: Catalog) -> Subject:
    instance = catalog.instance(name)
    if request.gpus is not None and instance.accelerator is None:
        raise InvalidInputError("--gpus", request.gpus, f"{name} has no accelerator")
    cpu = instance.cpu if request.cpu is None else catalog.cpu(request.cpu)
    listed = host_of(instance)
    host = replace(
        listed,
        dram_gb=_amount("--dram-gb", _or(request.dram_gb, listed.dram_gb)),
        ssd_gb=_amount("--ssd-gb", _or(request.ssd_gb, listed.ssd_gb)),
        cpu=cpu,
        sockets=_amount("--sockets", _or(request.sockets, listed.sockets)),
    )
    shape = NodeShape(
        accelerator=instance.accelerator,
        accelerator_count=0 if instance.accelerator is None else _gpus(request, instance.accelerator_count),
        host=host,
        cpu_watts=_amount("--cpu-watts", _or(request.cpu_watts, host.sockets * cpu.tdp_watts)),
    )
    return Subject(name=name, shape=shape, instance=instance)


def _by_numbers(request: FootprintRequest, catalog: Catalog) -> Subject:
    if request.gpu is None and request.gpus is not None:
        raise InvalidInputError("--gpus", request.gpus, "of which card? give --gpu")
    given = {
        "--dram-gb": request.dram_gb, "--ssd-gb": request.ssd_gb, "--cpu-watts": request.cpu_watts,
    }  # fmt: skip
    if request.gpu is None and all(value is None for value in given.values()):
        raise InvalidInputError(
            "node or GPU", None, "a name of the catalogue, or --gpu, --dram-gb, --ssd-gb and --cpu-watts"
        )
    accelerator = None if request.gpu is None else catalog.accelerator(request.gpu)
    for option, value in given.items():
        if value is None:
            raise InvalidInputError(option, None, f"a node by its numbers needs {', '.join(given)}")
    cpu = None if request.cpu is None else catalog.cpu(request.cpu)
    if cpu is None and request.sockets is not None:
        raise InvalidInputError("--sockets", request.sockets, "of which processor? give --cpu")
    host = Host(
        dram_gb=_amount("--dram-gb", request.dram_gb or 0.0),
        ssd_gb=_amount("--ssd-gb", request.ssd_gb or 0.0),
        cpu=cpu,
        sockets=_amount("--sockets", _or(request.sockets, 1.0)) if cpu is not None else 0.0,
    )
    shape = NodeShape(
        accelerator=accelerator,
        accelerator_count=0 if accelerator is None else _gpus(request, 1),
        host=host,
        cpu_watts=_amount("--cpu-watts", request.cpu_watts or 0.0),
    )
    return Subject(name=None, shape=shape, instance=None)


def _gpus(request: FootprintRequest, default: int) -> int:
    count = default if request.gpus is None else request.gpus
    if not 1 <= count <= _MOST_GPUS:
        raise InvalidInputError("--gpus", count, f"a number of cards from 1 to {_MOST_GPUS}")
    return count


def _amount(option: str, value: float) -> float:
    return _within(option, value, 0, _MOST, "a finite number of 0 or more")


def _within(option: str, value: float, least: float, most: float, accepted: str) -> float:
    if not (math.isfinite(value) and least <= value <= most):
        raise InvalidInputError(option, value, accepted)
    return value


def _one_of(option: str, name: str, kind: type[_ChoiceT]) -> _ChoiceT:
    known = {item.value: item for item in kind}
    if name not in known:
        raise UnknownNameError(option, name, known)
    return known[name]


def _or(given: float | None, default: float) -> float:
    return default if given is None else given
