"""An engine: one model on some devices of a node, in one role; what it may ask for and why it may be refused."""

from dataclasses import dataclass
from enum import StrEnum

from ecoserve.catalog import Accelerator, InstanceType, ModelArchitecture, check_precision
from ecoserve.errors import InvalidInputError
from ecoserve.performance.efficiency import CPU_KV_GIB
from ecoserve.units import GIB

_HOST_CORES_PER_ACCELERATOR = 4.0
_HOST_GIB_PER_ACCELERATOR = 24.0
_CPU_RUNTIME_GIB = 2.0


class Role(StrEnum):
    """Which part of a request an engine serves."""

    BOTH = "both"
    PREFILL = "prefill"
    DECODE = "decode"


class RejectionReason(StrEnum):
    """Why an engine can't serve what is asked."""

    MEMORY_TOO_SMALL = "MemoryTooSmall"
    TTFT_UNREACHABLE = "TtftUnreachable"
    TPOT_UNREACHABLE = "TpotUnreachable"
    TRANSFER_TOO_SLOW = "TransferTooSlow"
    UNSUPPORTED_PRECISION = "UnsupportedPrecision"
    UNSUPPORTED_PARALLELISM = "UnsupportedParallelism"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """That an engine can't serve, with the reason and one sentence of figures."""

    reason: RejectionReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Latency objective: `percentile` percent of requests within both times.

    `tpot_seconds` is the mean time per output token of one request after its first.
    """

    ttft_seconds: float
    tpot_seconds: float
    percentile: float = 90.0

    def __post_init__(self) -> None:
        for field, value in (("slo.ttft", self.ttft_seconds), ("slo.tpot", self.tpot_seconds)):
            if not 0 < value < float("inf"):
                raise InvalidInputError(field, value, "a time above zero")
        if not 50 <= self.percentile < 100:
            raise InvalidInputError("slo.percentile", self.percentile, "a percentile from 50 to below 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One replica's engine. `tensor_parallel` devices, or 0 for `cpu_cores` vCPUs of the host.

    A mixture of experts may run on `expert_parallel` times as many devices, each with whole experts of its own
    and its part of attention.

    Raises InvalidInputError where the numbers make no engine at all; whether a sound engine can serve
    is `replica_capacity`'s answer.
    """

    model: ModelArchitecture
    precision: str
    instance: InstanceType
    role: Role = Role.BOTH
    tensor_parallel: int = 1
    expert_parallel: int = 1
    cpu_cores: float = 0.0

    def __post_init__(self) -> None:
        check_precision(self.precision)
        most = self.instance.accelerator_count
        if not 0 <= self.tensor_parallel <= most:
            raise InvalidInputError(
                "tensorParallel", self.tensor_parallel, f"0 to {most} on {self.instance.id} (0 is on its CPU)"
            )
        if self.expert_parallel < 1 or self.devices > most:
            accepted = f"1 or more groups, {most} devices in all on {self.instance.id}"
            raise InvalidInputError("expertParallel", self.expert_parallel, accepted)
        if self.expert_parallel > 1 and not self.model.experts:
            accepted = "1 for a dense model: groups of devices are replicas of their own"
            raise InvalidInputError("expertParallel", self.expert_parallel, accepted)
        if self.tensor_parallel == 0 and not 0 < self.cpu_cores <= self.instance.vcpus:
            raise InvalidInputError(
                "cpuCores", self.cpu_cores, f"above 0 to {self.instance.vcpus:g} on {self.instance.id}"
            )

    @property
    def accelerator(self) -> Accelerator:
        """The device it runs on; only for engines that run on one."""
        if self.tensor_parallel == 0 or self.instance.accelerator is None:
            raise InvalidInputError("tensorParallel", self.tensor_parallel, "1 or more for an accelerator")
        return self.instance.accelerator

    @property
    def devices(self) -> int:
        """Accelerators it runs on."""
        return self.tensor_parallel * self.expert_parallel

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the host's cores."""
        return self.tensor_parallel == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResources:
    """What one replica requests: devices, vCPUs, host memory."""

    gpu: int
    cpu: float
    memory_gib: float


def engine_resources(engine: Engine) -> EngineResources:
    """What one replica of `engine` requests of its node.

    On accelerators a few host cores and GiB per device, at most half of the device's part of the host, so that
    all devices of a node stay usable. On a processor its cores, and memory for weights and KV.
    """
    instance = engine.instance
    if engine.on_cpu:
        weights_gib = engine.model.weight_bytes(engine.precision) / GIB
        memory_gib = weights_gib + CPU_KV_GIB + _CPU_RUNTIME_GIB
        return EngineResources(gpu=0, cpu=engine.cpu_cores, memory_gib=memory_gib)
    devices = engine.devices
    part = 0.5 / instance.accelerator_count
    return EngineResources(
        gpu=devices,
        cpu=devices * min(_HOST_CORES_PER_ACCELERATOR, part * instance.vcpus),
        memory_gib=devices * min(_HOST_GIB_PER_ACCELERATOR, part * instance.memory_gib),
    )


def engine_loaded_idle_watts(engine: Engine) -> float:
    """What one replica draws above its node's idle power while it holds the model and serves nothing."""
    return 0.0 if engine.on_cpu else engine.devices * engine.accelerator.loaded_idle_watts
