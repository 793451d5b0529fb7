"""Moving the KV cache from a prefill to a decode replica: bytes, time and energy, counted at each end.

A request that is prefilled on one replica and decoded on another leaves keys and values of its whole prompt
behind, which have to cross the network between two nodes (NVLink and places on one node are not assumed; the
program keeps both ends within a zone). Each end has its replica's part of its node's network, so that all
replicas of a node may transfer at once. The transfer runs at the slower end's speed.

**Time** counts before the first token: routers in front of vLLM's disaggregated replicas stream it from the
decode replica, which reads the KV once the prefill is done. Nothing is taken to overlap; sending layer by layer
while prefill computes (Splitwise, Patel et al., ISCA'24) hides most of it, so this is an upper bound. Which ends
meet is the program's choice, after capacities are known. So a fixed share of the TTFT objective is set aside for
the transfer: an end too slow for it is not offered, a prefill replica is sized for the rest. More nodes then
never make a plan worse. A mean latency holds the time at both ends, as if bytes were stored and sent on.

**Energy** is that of a network card at each end. Switches are not in it.
"""

from dataclasses import dataclass, replace

from ecoserve.performance import Engine, Rejection, RejectionReason, ReplicaCapacity, Role, Slo

TTFT_SHARE = 0.1
"""Of the TTFT objective, set aside for the transfer: ours. Splitwise reports 0.8 % of the time of a whole request,
DistServe (Zhong et al., OSDI'24) less than 30 ms for 95 % of requests, both on fast networks."""

JOULES_PER_BYTE_AND_END = 12.95 / (50e9 / 8)
"""A 2 x 25 Gbit/s card (ConnectX-5 OCP, NVIDIA's user manual) typically takes 12.95 W: 2.1 nJ per byte."""

_UNKNOWN_NETWORK_GBIT_PER_S = 2.5
"""Where nobody published an instance's network: the slowest in the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What one end of the transfer of one request takes."""

    bytes: float
    seconds: float
    joules: float


def transfer_of(engine: Engine, input_tokens: float) -> Transfer | None:
    """Return what an engine's end of the transfer takes; None for engines that keep their KV."""
    if engine.role is Role.BOTH:
        return None
    moved = input_tokens * engine.model.kv_bytes_per_token(engine.precision)
    return Transfer(
        bytes=moved, seconds=moved / bytes_per_second(engine), joules=moved * JOULES_PER_BYTE_AND_END
    )


def bytes_per_second(engine: Engine) -> float:
    """Return a replica's part of its node's network: as large as its part of the devices, or of the cores."""
    instance = engine.instance
    gbit_per_s = instance.network_gbit_per_s or _UNKNOWN_NETWORK_GBIT_PER_S
    if engine.on_cpu:
        part = engine.cpu_cores / instance.vcpus
    else:
        part = engine.tensor_parallel / instance.accelerator_count
    return part * gbit_per_s * 1e9 / 8


def prefill_slo(slo: Slo | None) -> Slo | None:
    """Return the objective that a prefill replica is sized for: what the transfer leaves of the TTFT."""
    return None if slo is None else replace(slo, ttft_seconds=slo.ttft_seconds * (1 - TTFT_SHARE))


def with_transfer(
    found: ReplicaCapacity, engine: Engine, transfer: Transfer, slo: Slo | None
) -> ReplicaCapacity | Rejection:
    """Add the transfer to what a replica sustains; a Rejection where it takes too much of the TTFT."""
    if slo is not None and transfer.seconds > slo.ttft_seconds * TTFT_SHARE:
        return Rejection(
            reason=RejectionReason.TRANSFER_TOO_SLOW,
            detail=(
                f"moving {transfer.bytes / 1e6:.0f} MB of KV takes {transfer.seconds * 1000:.0f} ms by its part of "
                f"the network of {engine.instance.id}, {slo.ttft_seconds * TTFT_SHARE * 1000:.0f} ms of the TTFT are for it"
            ),
        )
    rate = min(found.max_requests_per_second, 1 / transfer.seconds)
    arrives = transfer.seconds if engine.role is Role.PREFILL else 0.0
    return replace(
        found,
        max_requests_per_second=rate,
        ttft_seconds=found.ttft_seconds + arrives,
        energy_per_request_joules=found.energy_per_request_joules + transfer.joules,
        latency_seconds=found.latency_seconds + transfer.seconds,
    )
