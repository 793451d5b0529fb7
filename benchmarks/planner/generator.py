"""Planning instances of any size from a seed, shaped by a roofline: rates from bandwidth, compute and memory.

The figures of accelerators are rounded data-sheet values; what matters here is the shape of the problem (who is
fast, who is frugal, what shares a node), not the grams. `melange` is the formulation of Mélange (arXiv
2404.14527): 60 request sizes cut into 8 slices each, four accelerators by price, nodes of one accelerator.
"""

import random
from dataclasses import dataclass
from math import exp, sqrt

from ecoserve.planner.instance import (
    ConfigurationSpec,
    InstanceSpec,
    NodeSpec,
    OptionSpec,
    PlanningInstance,
    PoolSpec,
    ResourceAmounts,
    SliceSpec,
    ZoneSpec,
)

INPUTS = (25, 100, 250, 500, 1000, 2000, 4000, 8000, 12000, 16000)
OUTPUTS = (25, 100, 250, 500, 1000, 2000)
SLICES_PER_SIZE = 8
PARAMETERS = 8e9
WEIGHT_GIB = 15.0
KV_BYTES_PER_TOKEN = 131_072.0
TPOT_SECONDS = 0.12
LARGEST_BATCH = 256
BILLIONS = (1, 3, 7, 8, 12, 14, 32, 47, 70)
"""Sizes of the models that servings have."""
MIX = ((0.4, 300, 100), (0.3, 1000, 200), (0.2, 2500, 250), (0.1, 6000, 300))
"""Slices of a serving: part of its requests, tokens in and out."""
SHARES = (("L4", 0.35), ("A10G", 0.40), ("A100-80GB", 0.15), ("H100", 0.10))
"""Parts of a cluster's nodes by accelerator."""


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator: memory, bandwidth, dense bf16 speed, watts over and at idle, embodied rate, $ per hour."""

    name: str
    memory_gib: float
    gigabytes_per_second: float
    teraflops: float
    dynamic_watts: float
    idle_watts: float
    embodied_grams_per_hour: float
    dollars_per_hour: float


DEVICES = (
    Device("L4", 24, 300, 121, 55, 16, 0.9, 0.7),
    Device("A10G", 24, 600, 70, 220, 22, 1.6, 1.01),
    Device("A100-80GB", 80, 2039, 312, 330, 60, 2.8, 3.67),
    Device("H100", 80, 3350, 989, 600, 75, 2.9, 7.516),
)


def max_rate(
    device: Device, tensor_parallel: int, inputs: float, outputs: float, times: float = 1.0
) -> float:
    """Return requests/s of a replica at the largest batch within memory and TPOT; 0 where weights do not fit.

    The model is one of 8B, or as many times larger.
    """
    scale = tensor_parallel**0.9
    free = device.memory_gib * 0.9 * tensor_parallel - times * WEIGHT_GIB
    if free <= 0:
        return 0.0
    kv_bytes = sqrt(times) * KV_BYTES_PER_TOKEN * (inputs + outputs / 2)
    read = device.gigabytes_per_second * 1e9 * 0.7 * scale
    per_step = times * WEIGHT_GIB * 2**30 / read
    per_token = 2 * times * PARAMETERS / (device.teraflops * 1e12 * 0.5 * scale)
    per_request = kv_bytes / read + per_token
    batch = min(LARGEST_BATCH, free * 2**30 / kv_bytes, (TPOT_SECONDS - per_step) / per_request)
    if batch < 1:
        return 0.0
    return 1.0 / (per_token * inputs + outputs * (per_step / batch + per_request))


def roofline(
    slices: int,
    configurations: int,
    pools: int,
    *,
    seed: int = 1,
    load: float = 1.0,
    spread: float = 0.0,
    most_nodes: int = 8,
) -> PlanningInstance:
    """Return slices × configurations options at most (those without a feasible batch are left out).

    At load 1 about a quarter of the nodes is needed. By the roofline alone all slices rank the pools alike, and the
    relaxation is nearly whole. `spread` is the standard deviation of each pair's log rate around the roofline:
    engines, kernels and prompts that suit one device more than another. Small pools (`most_nodes`) are scarce.
    """
    draw = random.Random(seed)
    zones = [
        ZoneSpec(name=f"zone-{k}", carbon_intensity=draw.uniform(20.0, 500.0), pue=1.15) for k in range(6)
    ]
    ages = [draw.uniform(0.6, 1.6) for _ in range(pools)]
    kinds = [draw.choice(DEVICES) for _ in range(pools)]
    pool_specs = [
        _pool(f"pool-{k}", draw.choice(zones), kinds[k], ages[k], draw, most_nodes) for k in range(pools)
    ]
    replicas: list[tuple[ConfigurationSpec, Device, int, float]] = []
    for k in range(configurations):
        pool = k % pools
        parallel = (1, 2, 4, 8)[(k // pools + draw.randint(0, 3)) % 4]
        item = ConfigurationSpec(
            name=f"configuration-{k}",
            pool=f"pool-{pool}",
            resources=ResourceAmounts(
                gpu=float(parallel),
                cpu=4.0 * parallel + draw.randint(0, 4),
                memory_gib=20.0 + 24.0 * parallel + draw.randint(0, 3) * 12.0,
            ),
            power_watts=30.0 * parallel,
        )
        replicas.append((item, kinds[pool], parallel, draw.uniform(0.85, 1.1)))
    slice_specs: list[SliceSpec] = []
    options: list[OptionSpec] = []
    for k in range(slices):
        inputs, outputs = exp(draw.gauss(6.5, 1.1)), exp(draw.gauss(5.2, 0.9))
        rate = load * 100.0 * pools / slices * exp(draw.gauss(0.0, 0.8)) / sqrt(1 + inputs / 1000)
        slice_specs.append(
            SliceSpec(
                name=f"slice-{k}", rate=rate, traffic_class="offline" if draw.random() < 0.3 else "online"
            )
        )
        for item, device, parallel, quality in replicas:
            usable = quality * max_rate(device, parallel, inputs, outputs)
            if spread > 0:
                usable *= exp(draw.gauss(0.0, spread))
            if usable > 0:
                options.append(
                    OptionSpec(
                        slice=f"slice-{k}",
                        configuration=item.name,
                        max_rate=usable,
                        energy_per_request_joules=0.7 * device.dynamic_watts * parallel / usable,
                    )
                )
    return PlanningInstance(
        spec=InstanceSpec(
            zones=tuple(zones),
            pools=tuple(pool_specs),
            configurations=tuple(item for item, *_ in replicas),
            slices=tuple(slice_specs),
            options=tuple(options),
            relative_gap=0.01,
            time_limit_seconds=60.0,
        )
    )


def servings(count: int, *, seed: int = 1, nodes: int = 1000) -> PlanningInstance:
    """Return servings of one model each, which share twelve pools' nodes and nothing else."""
    draw = random.Random(seed)
    zones = [
        ZoneSpec(name=name, carbon_intensity=grams, pue=1.15)
        for name, grams in (("north", 220.0), ("south", 260.0), ("west", 240.0))
    ]
    devices = {device.name: device for device in DEVICES}
    pools = {
        f"{name}-{zone.name}": (devices[name], zone, round(nodes * share / len(zones)))
        for name, share in SHARES
        for zone in zones
    }
    configurations: list[ConfigurationSpec] = []
    slices: list[SliceSpec] = []
    options: list[OptionSpec] = []
    for k in range(count):
        times = draw.choice(BILLIONS) / 8
        rate = draw.uniform(0.2, 6.0)
        parts = [SliceSpec(name=f"serving-{k}/{place}", rate=rate * mix[0]) for place, mix in enumerate(MIX)]
        slices += parts
        for pool, (device, _, _) in pools.items():
            for parallel in (1, 2, 4, 8):
                rates = [max_rate(device, parallel, inputs, outputs, times) for _, inputs, outputs in MIX]
                name = f"serving-{k}/{pool}/{parallel}"
                amounts = ResourceAmounts(gpu=float(parallel))
                configurations.append(
                    ConfigurationSpec(name=name, pool=pool, resources=amounts, power_watts=30.0 * parallel)
                )
                options += [
                    OptionSpec(
                        slice=part.name,
                        configuration=name,
                        max_rate=usable,
                        energy_per_request_joules=0.7 * device.dynamic_watts * parallel / usable,
                    )
                    for part, usable in zip(parts, rates, strict=True)
                    if usable > 0
                ]
    return PlanningInstance(
        spec=InstanceSpec(
            zones=tuple(zones),
            pools=tuple(
                _pool(name, zone, device, 1.0, draw, 1).model_copy(update={"nodes": size})
                for name, (device, zone, size) in pools.items()
            ),
            configurations=tuple(configurations),
            slices=tuple(slices),
            options=tuple(options),
            time_limit_seconds=60.0,
        )
    )


def melange(*, divisible: bool, seed: int = 1, requests_per_second: float = 64.0) -> PlanningInstance:
    """Return Mélange's program: 480 slices, four accelerators, least $ per hour."""
    draw = random.Random(seed)
    sizes = [(inputs, outputs) for inputs in INPUTS for outputs in OUTPUTS]
    weights = [exp(draw.gauss(0.0, 1.0)) / sqrt(inputs * outputs) for inputs, outputs in sizes]
    slices: list[SliceSpec] = []
    options: list[OptionSpec] = []
    for (inputs, outputs), weight in zip(sizes, weights, strict=True):
        rate = requests_per_second * weight / sum(weights) / SLICES_PER_SIZE
        for part in range(SLICES_PER_SIZE):
            name = f"{inputs}-{outputs}-{part}"
            slices.append(SliceSpec(name=name, rate=rate))
            options += [
                OptionSpec(slice=name, configuration=device.name, max_rate=usable)
                for device in DEVICES
                if (usable := max_rate(device, 1, inputs, outputs)) > 0
            ]
    return PlanningInstance(
        spec=InstanceSpec(
            objective="cost",
            zones=(ZoneSpec(name="zone", carbon_intensity=0.0),),
            pools=tuple(
                PoolSpec(
                    name=device.name,
                    zone="zone",
                    nodes=1000,
                    node=NodeSpec(resources=ResourceAmounts(gpu=1.0), cost_per_hour=device.dollars_per_hour),
                )
                for device in DEVICES
            ),
            configurations=tuple(
                ConfigurationSpec(name=device.name, pool=device.name, resources=ResourceAmounts(gpu=1.0))
                for device in DEVICES
            ),
            slices=tuple(slices),
            options=tuple(options),
            divisible=divisible,
            time_limit_seconds=60.0,
        )
    )


def _pool(
    name: str, zone: ZoneSpec, device: Device, age: float, draw: random.Random, most_nodes: int
) -> PoolSpec:
    return PoolSpec(
        name=name,
        zone=zone.name,
        nodes=draw.randint(max(1, most_nodes // 4), most_nodes),
        node=NodeSpec(
            resources=ResourceAmounts(gpu=8.0, cpu=96.0, memory_gib=900.0),
            power_watts=(8 * device.idle_watts + 250.0) * draw.uniform(0.9, 1.1),
            embodied_grams_per_hour=(8 * device.embodied_grams_per_hour + 30.0) * age,
            cost_per_hour=8 * device.dollars_per_hour,
        ),
    )
