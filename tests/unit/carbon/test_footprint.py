import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import marginal_grams_per_hour, node_footprint
from ecoserve.catalog import load_catalog

CATALOG = load_catalog()
INTENSITIES = st.floats(0, 2000)
INSTANCES = st.sampled_from(sorted(CATALOG.instances))


def test_idle_power_of_a_cpu_host_by_hand():
    footprint = node_footprint(CATALOG.instance("m7i.48xlarge"))
    assert footprint.idle_watts == pytest.approx(192 * 1.036 + 0.392 * (768 - 256))
    assert footprint.watts_per_core_dynamic == pytest.approx(4.16 - 1.036)


def test_a_whole_core_as_vcpu_carries_both_its_threads():
    footprint = node_footprint(CATALOG.instance("m7a.48xlarge"))
    assert footprint.watts_per_core_dynamic == pytest.approx(2 * (2.282 - 0.739))


@given(INSTANCES)
def test_full_load_never_draws_less_than_idle(name):
    footprint = node_footprint(CATALOG.instance(name))
    assert footprint.idle_watts > 0
    assert footprint.watts_per_core_dynamic > 0
    assert footprint.accelerator_dynamic_watts >= 0


@given(INSTANCES, st.floats(0, 64), INTENSITIES, INTENSITIES, st.floats(1, 2), st.booleans())
def test_more_intensity_never_less_carbon(name, cores, one, other, pue, off):
    footprint = node_footprint(CATALOG.instance(name))
    low, high = sorted((one, other))

    def grams(intensity):
        return marginal_grams_per_hour(
            footprint, cpu_cores=cores, accelerators=0, intensity_grams_per_kwh=intensity, pue=pue, node_otherwise_off=off
        )  # fmt: skip

    assert grams(low) <= grams(high)


@given(INSTANCES, st.floats(0, 64), INTENSITIES)
def test_waking_a_node_adds_its_idle_power_and_embodied_carbon(name, cores, intensity):
    footprint = node_footprint(CATALOG.instance(name))
    on, off = (
        marginal_grams_per_hour(
            footprint, cpu_cores=cores, accelerators=0, intensity_grams_per_kwh=intensity, pue=1.1, node_otherwise_off=off
        )
        for off in (False, True)
    )  # fmt: skip
    idle = footprint.idle_watts / 1000 * 1.1 * intensity
    assert off - on == pytest.approx(idle + footprint.embodied_grams_per_hour)
    assert on == pytest.approx(cores * footprint.watts_per_core_dynamic / 1000 * 1.1 * intensity)
