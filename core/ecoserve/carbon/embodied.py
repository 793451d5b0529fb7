"""Embodied carbon of accelerators and hosts under a coefficient set, part by part.

The default follows the EcoServe authors' published calculator: a card is its memory, logic die, board,
power supply share, cooling and connectors, times 1.05 for assembly and losses; a host is a fixed set of parts plus
its DRAM and SSD. `act` counts only silicon, `boavizta` takes published figures of whole cards. Every part states
what it is a part of and where its figure is from, as numbers of different scope must not be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ecoserve.carbon.coefficients import (
    BORROWED,
    ECOSERVE,
    AcceleratorMethod,
    CoefficientSet,
    CpuMethod,
    fab_figures,
)
from ecoserve.catalog import Accelerator, Cpu, InstanceType
from ecoserve.errors import UnknownNameError

_OVERHEAD = 1.05
_PCB_KG_PER_CM2 = 0.048 / 12
_REFERENCE_PSU_WATTS, _REFERENCE_PSU_KG = 1100.0, 28.75
_LIQUID_MEMORY = ("HBM3", "HBM3e")
_LIQUID_WATTS, _LIQUID_KG = 700.0, 6.5
_AIR_WATTS, _AIR_KG = 300.0, 23.63
_CONNECTORS_KG = 7.4 / 8
_BOAVIZTA_CPU_KG, _BOAVIZTA_CPU_KG_PER_MM2 = 9.14, 0.0197  # boaviztapi 2.5.0, packaged processor and its die


class Scope(StrEnum):
    """What a figure is of: silicon in its package, a whole card, or the node around the cards."""

    DIE = "die"
    CARD = "card"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """kgCO2e of one part, what it is of and where the figure is from."""

    kg: float
    scope: Scope
    source: str

    @property
    def borrowed(self) -> bool:
        """Whether the set has no such figure and takes another's."""
        return self.source.startswith(BORROWED)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedCarbon:
    """What making something emitted, by part, and what is counted; `gaps` says what should be and is not."""

    parts: Mapping[str, Part]
    scope: str
    gaps: tuple[str, ...] = ()

    @property
    def total_kg(self) -> float:
        """kgCO2e of all parts."""
        return sum(part.kg for part in self.parts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host without its accelerators, as far as its embodied carbon goes.

    `share` is the part of a physical server that it takes. `cpu` is None where nobody said which processors.
    """

    dram_gb: float
    ssd_gb: float
    cpu: Cpu | None = None
    sockets: float = 0.0
    share: float = 1.0


def host_of(instance: InstanceType) -> Host:
    """Return the host of an instance type. Its GiB count as the GB of the sets, as in the authors' tables."""
    return Host(
        dram_gb=instance.memory_gib,
        ssd_gb=instance.ssd_gb,
        cpu=instance.cpu,
        sockets=instance.sockets,
        share=instance.host_share,
    )


def accelerator_embodied(accelerator: Accelerator, coefficients: CoefficientSet = ECOSERVE) -> EmbodiedCarbon:
    """Embodied carbon of one accelerator.

    Raises UnknownNameError where the set has no figure for this accelerator or its memory.
    """
    sources = coefficients.sources
    match coefficients.accelerator:
        case AcceleratorMethod.CARD_PARTS:
            parts = _card_parts(accelerator, coefficients)
        case AcceleratorMethod.LOGIC_AND_MEMORY:
            fab, source = fab_figures(), sources["accelerator"]
            die_kg = fab.die_kg(accelerator.die_mm2, accelerator.process_nm)
            parts = {
                "memory": _memory(accelerator, coefficients),
                "soc": Part(kg=die_kg, scope=Scope.DIE, source=source),
                "package": Part(kg=fab.package_kg, scope=Scope.DIE, source=source),
            }
        case AcceleratorMethod.PUBLISHED:
            known = coefficients.published_kg
            if accelerator.id not in known:
                raise UnknownNameError(
                    f"accelerator in coefficients {coefficients.name}", accelerator.id, known
                )
            source = sources[f"published_kg.{accelerator.id}"]
            parts = {"card": Part(kg=known[accelerator.id], scope=Scope.CARD, source=source)}
    return EmbodiedCarbon(parts=parts, scope=coefficients.scope)


def accelerators_kg(instance: InstanceType, coefficients: CoefficientSet = ECOSERVE) -> float:
    """kgCO2e of all accelerators of an instance; raises UnknownNameError as `accelerator_embodied` does."""
    if instance.accelerator is None:
        return 0.0
    return cards_kg(accelerator_embodied(instance.accelerator, coefficients), instance.accelerator_count)


def cards_kg(card: EmbodiedCarbon, count: int) -> float:
    """kgCO2e of the cards in a node.

    A card counts rounded to 0.1 kg, as in the EcoServe authors' node totals, so that those recompute exactly.
    """
    return count * round(card.total_kg, 1)


def _card_parts(accelerator: Accelerator, coefficients: CoefficientSet) -> dict[str, Part]:
    """Return the parts of the authors' formula; assembly and losses (5 %) are in each."""
    if accelerator.memory_type in _LIQUID_MEMORY:
        cooling_kg = accelerator.tdp_watts / _LIQUID_WATTS * _LIQUID_KG
    else:
        cooling_kg = accelerator.tdp_watts / _AIR_WATTS * _AIR_KG
    formula = coefficients.sources["accelerator"]
    soc_source = formula if formula.startswith(BORROWED) else accelerator.sources.get("soc_kg", formula)
    memory = _memory(accelerator, coefficients)
    others = {
        "board": (_PCB_KG_PER_CM2 * accelerator.pcb_cm2, Scope.CARD, formula),
        "psu": (accelerator.psu_watts / _REFERENCE_PSU_WATTS * _REFERENCE_PSU_KG, Scope.CARD, formula),
        "cooling": (cooling_kg, Scope.CARD, formula),
        "soc": (accelerator.soc_kg, Scope.DIE, soc_source),
        "connectors": (_CONNECTORS_KG, Scope.CARD, formula),
    }
    parts = {"memory": Part(kg=_OVERHEAD * memory.kg, scope=memory.scope, source=memory.source)}
    for name, (kg, scope, source) in others.items():
        parts[name] = Part(kg=_OVERHEAD * kg, scope=scope, source=source)
    return parts


def _memory(accelerator: Accelerator, coefficients: CoefficientSet) -> Part:
    known, kind = coefficients.memory_kg_per_gb, accelerator.memory_type
    if kind not in known:
        raise UnknownNameError(f"{accelerator.id}.memoryType", kind, known)
    source = coefficients.sources[f"memory_kg_per_gb.{kind}"]
    return Part(kg=accelerator.memory_gib * known[kind], scope=Scope.DIE, source=source)


def host_embodied(host: Host, coefficients: CoefficientSet = ECOSERVE) -> EmbodiedCarbon:
    """Embodied carbon of a host without its accelerators.

    The fixed parts count by the host's share of a server, DRAM and SSD by its own size. Where the set counts each
    processor and nobody said which they are, they are left out and named as a gap.
    """
    sources = coefficients.sources
    gaps: tuple[str, ...] = ()
    parts = {
        name: Part(kg=kg * host.share, scope=Scope.NODE, source=sources[f"host_parts.{name}"])
        for name, kg in coefficients.host_parts.items()
    }
    if coefficients.host_cpu is not CpuMethod.FIXED:
        if host.cpu is None:
            gaps = (f"processors, which coefficients {coefficients.name} count by kind: nobody said which",)
        else:
            kg = host.sockets * _processor_kg(host.cpu, coefficients)
            parts["cpu"] = Part(kg=kg, scope=Scope.DIE, source=sources["host_cpu"])
    for name, gb, factor in (
        ("dram", host.dram_gb, coefficients.dram_kg_per_gb),
        ("ssd", host.ssd_gb, coefficients.ssd_kg_per_gb),
    ):
        parts[name] = Part(kg=gb * factor, scope=Scope.NODE, source=sources[f"{name}_kg_per_gb"])
    return EmbodiedCarbon(parts=parts, scope=coefficients.scope, gaps=gaps)


def _processor_kg(cpu: Cpu, coefficients: CoefficientSet) -> float:
    """Return kgCO2e of one processor, by the set's method."""
    if coefficients.host_cpu is CpuMethod.LOGIC:
        return fab_figures().die_kg(cpu.die_mm2, cpu.process_nm) + fab_figures().package_kg
    if cpu.published_kg is not None:
        return cpu.published_kg
    return _BOAVIZTA_CPU_KG + _BOAVIZTA_CPU_KG_PER_MM2 * cpu.die_mm2
