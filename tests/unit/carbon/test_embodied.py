"""The reference values of the EcoServe authors' published calculator, to the last digit they show."""

from dataclasses import replace

import pytest

from ecoserve.carbon import (
    ECOSERVE,
    Lifetimes,
    Scope,
    accelerator_embodied,
    accelerators_kg,
    amortised_grams_per_hour,
    coefficient_set,
    coefficient_sets,
    crossover_intensity,
    host_embodied,
    host_of,
    node_footprint,
    operational_grams_per_hour,
)
from ecoserve.carbon.coefficients import fab_figures, vendor_figures
from ecoserve.catalog import Accelerator, load_catalog
from ecoserve.errors import InvalidInputError, UnknownNameError

CATALOG = load_catalog()
HOST = CATALOG.instance("m7i.48xlarge")


def card(tdp_watts, memory_gib, memory_type, soc_kg, pcb_cm2, psu_watts) -> Accelerator:
    return replace(
        CATALOG.accelerator("t4"), tdp_watts=tdp_watts, memory_gib=memory_gib, memory_type=memory_type,
        soc_kg=soc_kg, pcb_cm2=pcb_cm2, psu_watts=psu_watts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("accelerator", "kg"),
    [
        pytest.param(card(70, 16, "GDDR6", 6.31, 114.24, 250), 26.8, id="T4"),
        pytest.param(card(72, 24, "GDDR6", 7.5, 94.64, 250), 31.1, id="L4"),
        pytest.param(card(300, 48, "GDDR6", 15.72, 274.4, 700), 80.8, id="A40"),
        pytest.param(card(250, 40, "HBM2", 41.5, 299.04, 600), 94.7, id="A100 PCIe 40"),
        pytest.param(card(400, 80, "HBM2e", 20.52, 299.04, 800), 99.0, id="A100 SXM 80"),
        pytest.param(card(250, 32, "HBM2", 9.315, 299.04, 600), 58.6, id="V100 PCIe 32"),
        pytest.param(card(350, 80, "HBM2e", 41.5, 297.48, 750), 115.5, id="H100 PCIe"),
        pytest.param(card(700, 80, "HBM3", 41.5, 297.48, 1100), 103.0, id="H100 HGX"),
        pytest.param(card(700, 96, "HBM3e", 41.5, 297.48, 1100), 107.0, id="GH200"),
    ],
)
def test_cards_of_the_published_table(accelerator, kg):
    assert round(accelerator_embodied(accelerator).total_kg, 1) == kg


@pytest.mark.parametrize(
    ("accelerator", "kg"),
    [
        ("t4", 26.8), ("l4", 31.1), ("a100-40-pcie", 94.7), ("a100-80-sxm", 99.0), ("h100-sxm", 103.0),
        ("a10g", 52.1), ("l40s", 87.5), ("rtx6000ada", 82.0), ("h200-sxm", 118.3), ("b200-sxm", 185.6), ("mi300x", 152.5),
        ("a40", 80.8), ("rtxa6000", 80.8), ("v100-32-pcie", 58.6), ("h100-pcie", 115.5), ("gh200", 107.0),
    ],
)  # fmt: skip
def test_cards_of_the_catalogue(accelerator, kg):
    assert round(accelerator_embodied(CATALOG.accelerator(accelerator)).total_kg, 1) == kg


def server(accelerator: str, dram_gb: float, ssd_gb: float):
    base = CATALOG.instance("p5.48xlarge")
    return replace(base, memory_gib=dram_gb, ssd_gb=ssd_gb, accelerator=CATALOG.accelerator(accelerator))


@pytest.mark.parametrize(
    ("node", "coefficients", "cpu_watts", "gpu", "host", "total", "grams", "kilowatts", "crossover"),
    [
        (server("h100-sxm", 2000, 22720), "ecoserve", 350, 103.0, 1083.7, 1907.7, 54.4, 5.95, 11.4),
        (server("h100-sxm", 2000, 22720), "ecoserve-2025", 350, 103.0, 3355.4, 4179.4, 119.3, 5.95, 25.1),
        (server("a100-80-sxm", 1900, 6400), "ecoserve", 100, 99.0, 891.5, 1683.5, 48.0, 3.3, 18.2),
    ],
)
def test_nodes_of_the_published_table(
    node, coefficients, cpu_watts, gpu, host, total, grams, kilowatts, crossover
):
    chosen = coefficient_set(coefficients)
    gpu_kg = accelerator_embodied(node.accelerator, chosen).total_kg
    host_kg = host_embodied(host_of(node), chosen).total_kg
    node_kg = accelerators_kg(node, chosen) + host_kg
    watts = 8 * node.accelerator.tdp_watts + cpu_watts
    hourly = amortised_grams_per_hour(node_kg, 4)
    assert (round(gpu_kg, 1), round(host_kg, 1), round(node_kg, 1)) == (gpu, host, total)
    assert (round(hourly, 1), round(watts / 1000, 2)) == (grams, kilowatts)
    assert round(crossover_intensity(hourly, 0.8 * watts), 1) == crossover
    footprint = node_footprint(node, chosen)
    assert footprint.embodied_grams_per_hour == pytest.approx(hourly)
    assert footprint.host_kg + footprint.accelerators_kg == pytest.approx(node_kg)


@pytest.mark.parametrize(("intensity", "grams"), [(17, 80.9), (261, 1242.4), (501, 2384.8)])
def test_operational_grams_of_the_published_node(intensity, grams):
    assert round(operational_grams_per_hour(0.8 * 5950, intensity), 1) == grams


@pytest.mark.parametrize("name", list(coefficient_sets()))
def test_parts_sum_to_the_total_and_state_their_scope(name):
    chosen = coefficient_set(name)
    accelerator = accelerator_embodied(CATALOG.accelerator("h100-sxm"), chosen)
    host = host_embodied(host_of(CATALOG.instance("m7i.48xlarge")), chosen)
    for embodied in (accelerator, host):
        assert sum(part.kg for part in embodied.parts.values()) == pytest.approx(embodied.total_kg)
        assert embodied.total_kg > 0
        assert embodied.scope
        assert all(part.source and part.kg >= 0 for part in embodied.parts.values())


def test_sets_differ_as_published():
    h100 = CATALOG.accelerator("h100-sxm")
    die = accelerator_embodied(h100, coefficient_set("act")).parts["soc"]
    assert (round(die.kg, 1), die.scope) == (22.6, Scope.DIE)
    assert accelerator_embodied(h100, coefficient_set("boavizta")).total_kg == 575.1
    assert vendor_figures()["h100-sxm"].kg == 164
    memory = {
        name: host_embodied(host_of(HOST), item).parts["dram"].kg for name, item in coefficient_sets().items()
    }
    assert memory == pytest.approx(
        {"ecoserve": 222.72, "ecoserve-2025": 222.72, "act": 49.92, "greensku": 1267.2, "boavizta": 1459.2}
    )
    disk = replace(HOST, ssd_gb=1000)
    ssd = {
        name: host_embodied(host_of(disk), item).parts["ssd"].kg for name, item in coefficient_sets().items()
    }
    assert ssd == pytest.approx(
        {"ecoserve": 10, "ecoserve-2025": 109.99, "act": 10, "greensku": 17.3, "boavizta": 50}
    )


@pytest.mark.parametrize(
    ("card", "kg"),
    [("t4", 8.5), ("l4", 8.2), ("l40s", 16.9), ("a100-80-sxm", 19.1), ("h100-sxm", 22.6)],
)
def test_dies_by_act(card, kg):
    accelerator = CATALOG.accelerator(card)
    die = fab_figures().die_kg(accelerator.die_mm2, accelerator.process_nm)
    assert die == pytest.approx(kg, abs=0.1)


def test_a_square_centimetre_at_5_nm_by_hand():
    assert fab_figures().kg_per_cm2(5) == pytest.approx((583 * 2.75 + (430 + 225) / 2 + 500) / 0.875 / 1000)


def test_what_a_set_takes_from_another_is_marked():
    h100 = CATALOG.accelerator("h100-sxm")
    assert all(
        part.borrowed for part in accelerator_embodied(h100, coefficient_set("greensku")).parts.values()
    )
    host = host_embodied(host_of(HOST), coefficient_set("greensku"))
    assert {name for name, part in host.parts.items() if not part.borrowed} == {"cpu", "dram", "ssd"}
    for name in ("ecoserve", "ecoserve-2025", "act", "boavizta"):
        found = (
            accelerator_embodied(h100, coefficient_set(name)).parts
            | host_embodied(host_of(HOST), coefficient_set(name)).parts
        )
        assert not any(part.borrowed for part in found.values())


def test_processors_that_nobody_named_are_a_gap_and_not_a_guess():
    bare = replace(host_of(HOST), cpu=None)
    for name in ("act", "boavizta"):
        found = host_embodied(bare, coefficient_set(name))
        assert "cpu" not in found.parts
        assert "processors" in found.gaps[0]
    assert host_embodied(bare).gaps == ()


def test_boavizta_counts_a_processor_as_published_or_by_its_die():
    published = host_embodied(host_of(HOST), coefficient_set("boavizta")).parts["cpu"].kg
    unnamed = replace(host_of(HOST), cpu=replace(HOST.cpu, published_kg=None))
    by_die = host_embodied(unnamed, coefficient_set("boavizta")).parts["cpu"].kg
    assert published == pytest.approx(2 * 46.7)
    assert by_die == pytest.approx(published, abs=0.1)


def test_what_a_set_does_not_know_is_named():
    with pytest.raises(UnknownNameError, match=r"accelerator in coefficients boavizta: 't4'"):
        accelerator_embodied(CATALOG.accelerator("t4"), coefficient_set("boavizta"))
    with pytest.raises(UnknownNameError, match=r"coefficients: 'eco'.*ecoserve"):
        coefficient_set("eco")
    unknown = replace(CATALOG.accelerator("t4"), memory_type="GDDR9")
    with pytest.raises(UnknownNameError, match=r"t4\.memoryType: 'GDDR9'"):
        accelerator_embodied(unknown)


def test_a_slice_of_a_server_carries_its_share_of_the_fixed_parts():
    whole, part = CATALOG.instance("g6.48xlarge"), CATALOG.instance("g6.xlarge")
    fixed = [sum(host_embodied(host_of(i)).parts[p].kg for p in ECOSERVE.host_parts) for i in (whole, part)]
    assert fixed[1] == pytest.approx(fixed[0] / 8)


@pytest.mark.parametrize("years", [0, -1, float("nan"), float("inf")])
def test_lifetimes_must_be_years(years):
    with pytest.raises(InvalidInputError, match=r"lifetimes\.hostYears"):
        Lifetimes(host_years=years)


def test_hosts_and_accelerators_are_written_off_apart():
    node = CATALOG.instance("p5.48xlarge")
    base = node_footprint(node)
    longer = node_footprint(node, lifetimes=Lifetimes(host_years=8))
    assert longer.host_embodied_grams_per_hour == pytest.approx(base.host_embodied_grams_per_hour / 2)
    assert longer.accelerators_embodied_grams_per_hour == base.accelerators_embodied_grams_per_hour
