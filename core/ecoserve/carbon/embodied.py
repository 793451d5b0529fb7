"""Embodied carbon of accelerators and hosts under a coefficient set, part by part.

The default follows the EcoServe authors' published calculator: a card is its memory, logic die, board,
power supply share and cooling, times 1.05 for assembly and losses; a host is a fixed set of parts plus its
DRAM and SSD. `act` counts only silicon, `boavizta` takes published figures of whole cards; the result
states that scope, as numbers of different scope must not be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ecoserve.carbon.coefficients import ECOSERVE, AcceleratorMethod, CoefficientSet, CpuMethod, fab_figures
from ecoserve.catalog import Accelerator, InstanceType
from ecoserve.errors import UnknownNameError

_OVERHEAD = 1.05
_PCB_KG_PER_CM2 = 0.048 / 12
_REFERENCE_PSU_WATTS, _REFERENCE_PSU_KG = 1100.0, 28.75
_LIQUID_MEMORY = ("HBM3", "HBM3e")
_LIQUID_WATTS, _LIQUID_KG = 700.0, 6.5
_AIR_WATTS, _AIR_KG = 300.0, 23.63
_ASSEMBLY_KG = 7.4 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedCarbon:
    """kgCO2e of making something: the total, its parts (they sum to it) and what is counted."""

    total_kg: float
    parts: Mapping[str, float]
    scope: str


def _sum(parts: Mapping[str, float], coefficients: CoefficientSet) -> EmbodiedCarbon:
    return EmbodiedCarbon(total_kg=sum(parts.values()), parts=parts, scope=coefficients.scope)


def accelerator_embodied(accelerator: Accelerator, coefficients: CoefficientSet = ECOSERVE) -> EmbodiedCarbon:
    """Embodied carbon of one accelerator.

    Raises UnknownNameError where the set has no figure for this accelerator or its memory.
    """
    match coefficients.accelerator:
        case AcceleratorMethod.CARD_PARTS:
            parts = _card_parts(accelerator, coefficients)
        case AcceleratorMethod.LOGIC_AND_MEMORY:
            parts = {
                "die": _logic_kg(accelerator.die_mm2, accelerator.process_nm),
                "package": fab_figures().package_kg,
                "memory": _memory_kg(accelerator, coefficients),
            }
        case AcceleratorMethod.PUBLISHED:
            if accelerator.id not in coefficients.published_kg:
                known = coefficients.published_kg
                raise UnknownNameError(
                    f"accelerator in coefficients {coefficients.name}", accelerator.id, known
                )
            parts = {"card": coefficients.published_kg[accelerator.id]}
    return _sum(parts, coefficients)


def accelerators_kg(instance: InstanceType, coefficients: CoefficientSet = ECOSERVE) -> float:
    """kgCO2e of all accelerators of an instance.

    A card counts rounded to 0.1 kg, as in the EcoServe authors' node totals, so that those recompute exactly.
    Raises UnknownNameError as `accelerator_embodied` does.
    """
    if instance.accelerator is None:
        return 0.0
    card = accelerator_embodied(instance.accelerator, coefficients)
    return instance.accelerator_count * round(card.total_kg, 1)


def _card_parts(accelerator: Accelerator, coefficients: CoefficientSet) -> dict[str, float]:
    if accelerator.memory_type in _LIQUID_MEMORY:
        cooling_kg = accelerator.tdp_watts / _LIQUID_WATTS * _LIQUID_KG
    else:
        cooling_kg = accelerator.tdp_watts / _AIR_WATTS * _AIR_KG
    parts = {
        "memory": _memory_kg(accelerator, coefficients),
        "board": _PCB_KG_PER_CM2 * accelerator.pcb_cm2,
        "psu": accelerator.psu_watts / _REFERENCE_PSU_WATTS * _REFERENCE_PSU_KG,
        "cooling": cooling_kg,
        "die": accelerator.soc_kg,
        "assembly": _ASSEMBLY_KG,
    }
    return {name: _OVERHEAD * kg for name, kg in parts.items()}


def _memory_kg(accelerator: Accelerator, coefficients: CoefficientSet) -> float:
    known = coefficients.memory_kg_per_gb
    if accelerator.memory_type not in known:
        raise UnknownNameError(f"{accelerator.id}.memoryType", accelerator.memory_type, known)
    return accelerator.memory_gib * known[accelerator.memory_type]


def _logic_kg(die_mm2: float, process_nm: float) -> float:
    return fab_figures().kg_per_cm2(process_nm) * die_mm2 / 100.0


def host_embodied(instance: InstanceType, coefficients: CoefficientSet = ECOSERVE) -> EmbodiedCarbon:
    """Embodied carbon of an instance's host without its accelerators.

    The fixed parts count by the instance's share of a server, DRAM and SSD by its own size.
    Raises UnknownNameError where the set has no figure for the processor.
    """
    parts = {name: kg * instance.host_share for name, kg in coefficients.host_parts.items()}
    cpu = instance.cpu
    if coefficients.host_cpu is CpuMethod.LOGIC:
        parts["cpu"] = instance.sockets * (_logic_kg(cpu.die_mm2, cpu.process_nm) + fab_figures().package_kg)
    elif coefficients.host_cpu is CpuMethod.PUBLISHED:
        if cpu.published_kg is None:
            raise UnknownNameError(f"cpu in coefficients {coefficients.name}", cpu.id, ())
        parts["cpu"] = instance.sockets * cpu.published_kg
    parts["dram"] = coefficients.dram_kg_per_gb * instance.memory_gib
    parts["ssd"] = coefficients.ssd_kg_per_gb * instance.ssd_gb
    return _sum(parts, coefficients)
