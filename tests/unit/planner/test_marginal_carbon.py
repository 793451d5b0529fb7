"""What the extender says a pod adds is what a plan emits more with it: one account, from either side."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import marginal_grams_per_hour, node_footprint
from ecoserve.catalog.loading import shipped_catalog
from ecoserve.planner.instance import parse_instance
from ecoserve.planner.solver import solve
from properties import examples

FOOTPRINTS = {
    name: node_footprint(instance)
    for name, instance in shipped_catalog().instances.items()
    if name in ("m7i.48xlarge", "g6.48xlarge", "p5.48xlarge")
}


@examples(60)
@given(
    name=st.sampled_from(sorted(FOOTPRINTS)),
    cores=st.integers(1, 48),
    accelerators=st.integers(0, 4),
    intensity=st.floats(0, 1200),
    pue=st.floats(1, 2),
)
def test_a_plan_emits_with_one_more_busy_pod_what_the_extender_says_it_adds(
    name: str, cores: int, accelerators: int, intensity: float, pue: float
) -> None:
    """The first pod wakes the node, the second finds it on."""
    footprint = FOOTPRINTS[name]
    busy_watts = cores * footprint.watts_per_core_dynamic + accelerators * footprint.accelerator_dynamic_watts

    def planned(pods: int) -> float:
        spec: dict[str, Any] = {
            "objective": "carbon",
            "zones": [{"name": "z", "carbonIntensity": intensity, "pue": pue}],
            "pools": [
                {
                    "name": "p",
                    "zone": "z",
                    "nodes": 1,
                    "node": {
                        "resources": {"gpu": 8, "cpu": 192},
                        "powerWatts": footprint.idle_watts,
                        "embodiedGramsPerHour": footprint.embodied_grams_per_hour,
                    },
                }
            ],
            "configurations": [
                {"name": "pod", "pool": "p", "resources": {"cpu": cores, "gpu": accelerators}, "powerWatts": busy_watts}
            ],
            "slices": [{"name": "s", "rate": float(pods)}],
            "options": [{"slice": "s", "configuration": "pod", "maxRate": 1.0}],
        }  # fmt: skip
        result = solve(parse_instance({"spec": spec}))
        assert (result.status, result.replicas) == ("optimal", {"pod": pods})
        return result.objective

    def added(*, off: bool) -> float:
        return marginal_grams_per_hour(
            footprint,
            cpu_cores=cores,
            accelerators=accelerators,
            intensity_grams_per_kwh=intensity,
            pue=pue,
            node_otherwise_off=off,
        )

    assert planned(1) == pytest.approx(added(off=True), abs=1e-3)
    assert planned(2) - planned(1) == pytest.approx(added(off=False), abs=1e-3)
