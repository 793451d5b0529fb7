import csv
import math
import os
from dataclasses import fields
from pathlib import Path

import pytest

from ecoserve.catalog import load_catalog
from ecoserve.catalog.hardware import Accelerator
from ecoserve.catalog.loading import build_entry, snake_case
from ecoserve.errors import InvalidInputError, UnknownNameError

CATALOG = load_catalog()
HARDWARE = [*CATALOG.accelerators.values(), *CATALOG.cpus.values(), *CATALOG.instances.values()]


@pytest.mark.parametrize("item", HARDWARE, ids=lambda item: item.id)
def test_every_figure_has_a_source_and_is_sane(item):
    uncited = {"vcpus_per_core", "accelerator_count"}
    for field in fields(item):
        value = getattr(item, field.name)
        if not isinstance(value, int | float) or value is False:
            continue
        assert math.isfinite(value)
        assert value >= 0
        assert field.name in uncited or item.sources.get(field.name), f"{item.id}.{field.name} has no source"


@pytest.mark.parametrize(
    "wanted",
    ["t4", "a10g", "l4", "l40s", "rtx6000ada", "a100-40-sxm", "a100-80-sxm", "h100-sxm", "h200-sxm", "b200-sxm", "mi300x"],
)  # fmt: skip
def test_known_accelerators(wanted):
    assert CATALOG.accelerator(wanted).id == wanted


@pytest.mark.parametrize(
    ("instance", "accelerator", "count", "cpu"),
    [
        ("g4dn.12xlarge", "t4", 4, "xeon-cascade-lake"),
        ("g6.48xlarge", "l4", 8, "epyc-7763"),
        ("p5.48xlarge", "h100-sxm", 8, "epyc-7763"),
        ("Standard_ND96amsr_A100_v4", "a100-80-sxm", 8, "epyc-rome"),
        ("m7i.48xlarge", None, 0, "xeon-8480plus"),
        ("m7a.48xlarge", None, 0, "epyc-9654"),
        ("m7g.metal", None, 0, "graviton3"),
    ],
)
def test_instances_hold_what_they_are_said_to_hold(instance, accelerator, count, cpu):
    known = CATALOG.instance(instance)
    assert (known.accelerator.id if known.accelerator else None) == accelerator
    assert (known.accelerator_count, known.cpu.id) == (count, cpu)


@pytest.mark.parametrize("instance", list(CATALOG.instances.values()), ids=list(CATALOG.instances))
def test_an_instance_has_no_more_cores_than_its_sockets(instance):
    assert instance.physical_cores <= instance.sockets * instance.cpu.cores * 1.02
    assert 0 < instance.host_share <= 1
    assert (instance.accelerator is None) == (instance.accelerator_count == 0)


def test_product_labels_are_unique_and_found():
    labels = [label for item in CATALOG.accelerators.values() for label in item.product_labels]
    assert len(labels) == len(set(labels))
    assert CATALOG.accelerator_by_product("NVIDIA-H100-80GB-HBM3").id == "h100-sxm"
    assert CATALOG.accelerator_by_product("Tesla-T4").id == "t4"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"accelerator: 'h100' is not accepted.*h100-sxm"):
        CATALOG.accelerator("h100")
    with pytest.raises(UnknownNameError, match=r"meta-llama/Llama-3\.1-8B"):
        CATALOG.model("llama-3.1-8b")
    with pytest.raises(UnknownNameError, match="precision"):
        CATALOG.model("Qwen/Qwen3-8B").weight_bytes("fp7")


def test_an_unchecked_figure_is_listed():
    assert "bf16_tflops" in CATALOG.accelerator("a10g").unchecked
    assert CATALOG.accelerator("h100-sxm").unchecked == ()
    figures = CATALOG.instance("g6.xlarge").unchecked_figures
    assert {"g6.xlarge.cpu", "g6.xlarge.price_per_hour", "l4.idle_watts"} <= set(figures)
    assert not any(figure.startswith("t4.") for figure in figures)


def test_a_bad_entry_is_named():
    with pytest.raises(
        InvalidInputError, match=r"x\.memoryGib: 'nowhere' is not accepted; sources here are a"
    ):
        build_entry(Accelerator, "x", {"memoryGib": [1, "nowhere"]}, {"a": "A"})
    with pytest.raises(InvalidInputError, match=r"x\.colour"):
        build_entry(Accelerator, "x", {"colour": "red"}, {})
    with pytest.raises(InvalidInputError, match=r"x\.memory_gib"):
        build_entry(Accelerator, "x", {"vendor": "V"}, {})


@pytest.mark.parametrize(
    ("camel", "snake"),
    [("memoryGib", "memory_gib"), ("bf16Tflops", "bf16_tflops"), ("dieMm2", "die_mm2"), ("id", "id")],
)
def test_names_in_yaml(camel, snake):
    assert snake_case(camel) == snake


def test_a_vcpu_is_a_hardware_thread_unless_the_provider_gives_whole_cores():
    threads = {
        name: CATALOG.instance(name).hardware_threads
        for name in ("m7i.48xlarge", "m7a.48xlarge", "m7g.metal")
    }
    assert threads == {"m7i.48xlarge": 192, "m7a.48xlarge": 384, "m7g.metal": 64}


def test_network_bandwidth_is_the_fabric_where_there_is_one_else_the_baseline():
    bandwidths = {
        name: CATALOG.instance(name).network_gbit_per_s
        for name in ("p5.48xlarge", "g5.xlarge", "Standard_ND96isr_H100_v5", "a3-highgpu-8g")
    }
    assert bandwidths == {
        "p5.48xlarge": 3200,
        "g5.xlarge": 2.5,
        "Standard_ND96isr_H100_v5": 3200,
        "a3-highgpu-8g": 1000,
    }


def test_the_catalogue_holds_every_id_of_the_compiled_tables():
    folder = os.environ.get("ECOSERVE_DATA")
    if not folder:
        pytest.skip("ECOSERVE_DATA is not set")
    known = {"gpu": CATALOG.accelerators, "cpu": CATALOG.cpus, "instance": CATALOG.instances}
    for kind, entries in known.items():
        with (Path(folder) / "hardware" / f"{kind}_catalogue.csv").open(encoding="utf-8", newline="") as file:
            ids = {row.get("id") or row["instance"] for row in csv.DictReader(file)}
        assert ids <= set(entries), ids - set(entries)


def test_what_the_compiled_tables_hold_from_memory_is_marked():
    folder = os.environ.get("ECOSERVE_DATA")
    if not folder:
        pytest.skip("ECOSERVE_DATA is not set")

    def rows(kind: str) -> list[dict[str, str]]:
        with (Path(folder) / "hardware" / f"{kind}_catalogue.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    for row in rows("gpu"):
        unchecked = CATALOG.accelerator(row["id"]).unchecked
        for column, field in (("idle_src", "idle_watts"), ("price_src", "price_per_hour")):
            assert not row[column].startswith("memory") or field in unchecked, (row["id"], field)
        assert "flops memory" not in row["spec_src"] or "bf16_tflops" in unchecked, row["id"]
        assert "die memory" not in row["spec_src"] or "die_mm2" in unchecked, row["id"]
    for row in rows("cpu"):
        unchecked = CATALOG.cpu(row["id"]).unchecked
        assert "[memory]" not in row["flops_src"] or "matrix_tflops" in unchecked, row["id"]
        assert "[memory]" not in row["dies_mm2"] or "die_mm2" in unchecked, row["id"]
        assert "DDR" not in row["notes"] or "memory_bandwidth_gb_per_s" in unchecked, row["id"]
    for row in rows("instance"):
        unchecked = CATALOG.instance(row["instance"]).unchecked
        if row["src"].startswith("memory") or "price memory" in row["src"]:
            assert "price_per_hour" in unchecked, row["instance"]
