"""Accelerators, processors and instance types as frozen values, each figure with the source it came from.

`sources` maps a field's name to the sentence that says where its figure is from. A figure nobody has
checked says so, and `unchecked` lists them: an output that rests on one must be able to tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecoserve.catalog.measured import MeasuredProfile

UNCHECKED = "nobody has checked"
"""How the source of an unchecked figure begins, in the catalogue's files."""


class Cited:
    """A value whose figures have sources; mixed into the catalogue's dataclasses."""

    __slots__ = ()
    sources: Mapping[str, str]

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Names of the fields whose figure nobody has checked."""
        return tuple(name for name, source in self.sources.items() if source.startswith(UNCHECKED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator(Cited):
    """One accelerator card.

    `loaded_idle_watts` is what holding a model draws above `idle_watts` while nothing runs.
    `interconnect_gb_per_s` is per device and direction; `interconnect_reduces` where its switches add up what devices
    exchange, so that each sends it once. `soc_kg`, `pcb_cm2` and `psu_watts` feed
    the embodied-carbon formula. `product_labels` are the values of labels that name it
    (`nvidia.com/gpu.product`, `amd.com/gpu.product-name`, `cloud.google.com/gke-accelerator`).
    `bf16_tflops` is the dense peak; a card without bf16 gives its fp16 rate here. `fp8_tflops` and `fp4_tflops` are None
    where the matrix units don't take such numbers.
    """

    id: str
    vendor: str
    memory_gib: float
    memory_type: str
    memory_bandwidth_gb_per_s: float
    bf16_tflops: float
    fp8_tflops: float | None
    fp4_tflops: float | None = None
    tdp_watts: float
    idle_watts: float
    loaded_idle_watts: float
    die_mm2: float
    process_node: str
    process_nm: float
    soc_kg: float
    pcb_cm2: float
    psu_watts: float
    interconnect_gb_per_s: float
    interconnect_reduces: bool = False
    price_per_hour: float | None = None
    product_labels: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu(Cited):
    """One processor socket.

    `min_watts_per_vcpu` and `max_watts_per_vcpu` are of one hardware thread at idle and at full load.
    `matrix_tflops` is the peak of its widest bf16 (else fp32) unit, per socket. `cpu_models` are
    `vendor/family/model` as node feature discovery labels nodes with; all parts of a generation share them.
    """

    id: str
    vendor: str
    cores: int
    threads_per_core: int
    tdp_watts: float
    min_watts_per_vcpu: float
    max_watts_per_vcpu: float
    memory_bandwidth_gb_per_s: float
    matrix_tflops: float
    die_mm2: float
    process_nm: float
    published_kg: float | None = None
    cpu_models: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType(Cited):
    """What a node of this type holds.

    `sockets` may be a fraction for a slice of a server; `host_share` is the share of a physical
    server that the instance takes by its scarcest resource. A vCPU is what Kubernetes calls a cpu; it is
    a hardware thread unless `vcpus_per_core` says otherwise (1 where the provider gives whole cores).
    `measured` are a user's own measurements on such nodes.
    `network_gbit_per_s` is what it may send to others of its kind at a stretch; None where nobody published it.
    """

    id: str
    provider: str
    vcpus: float
    memory_gib: float
    ssd_gb: float
    cpu: Cpu
    sockets: float
    accelerator: Accelerator | None
    accelerator_count: int
    price_per_hour: float | None = None
    network_gbit_per_s: float | None = None
    vcpus_per_core: int | None = None
    host_share: float = 1.0
    measured: tuple[MeasuredProfile, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __hash__(self) -> int:
        """By name alone: it is looked up with in every plan, a hundred thousand times, and has fifty figures."""
        return hash(self.id)

    @property
    def physical_cores(self) -> float:
        """Cores behind the instance's vCPUs."""
        return self.vcpus / (self.vcpus_per_core or self.cpu.threads_per_core)

    @property
    def hardware_threads(self) -> float:
        """Hardware threads behind the instance's vCPUs, also those the provider leaves unused."""
        return self.physical_cores * self.cpu.threads_per_core

    @property
    def unchecked_figures(self) -> tuple[str, ...]:
        """Names of all figures behind this type that nobody has checked, its processor's and accelerator's too."""
        own: tuple[InstanceType | Cpu | Accelerator, ...] = (self, self.cpu)
        parts = own if self.accelerator is None else (*own, self.accelerator)
        return tuple(f"{part.id}.{field}" for part in parts for field in part.unchecked)
