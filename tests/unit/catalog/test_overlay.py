"""Catalogue files of one's own: what they add and change, and what is wrong with others."""

from pathlib import Path

import pytest
import yaml

from ecoserve.catalog.loading import catalog_in_use, load_catalog, shipped_catalog
from ecoserve.catalog.overlay import extended_catalog, with_entries
from ecoserve.cli.app import run
from ecoserve.errors import InvalidInputError

SHIPPED = shipped_catalog()
OWN = {
    "accelerators": {
        "h100-sxm": {"idleWatts": [68.5, "meter"]},
        "h100-half": {"like": "h100-sxm", "memoryGib": 40, "productLabels": ["NVIDIA-H100-80GB-HBM3-MIG-3g.40gb"]},
    },
    "cpus": {"xeon-8490h": {"like": "xeon-8480plus", "cores": 60}},
    "instances": {
        "lab-1": {"like": "p5.48xlarge", "cpu": "xeon-8490h", "accelerator": "h100-half", "acceleratorCount": 16},
    },
    "models": {
        "own/llama-long": {"like": "meta-llama/Llama-3.1-8B-Instruct", "vocabularySize": 130000, "parameters": 8.04e9},
        "own/new": {
            "layers": 2, "hiddenSize": 64, "intermediateSize": 128, "attentionHeads": 4, "kvHeads": 4,
            "headDim": 16, "vocabularySize": 1000, "parameters": 2.1e5,
        },
    },
    "sources": {"meter": "our own meter, May 2026"},
}  # fmt: skip


def test_figures_are_changed_and_parts_follow():
    catalog = with_entries(OWN, SHIPPED, "own.yaml")
    card = catalog.accelerator("h100-sxm")
    assert (card.idle_watts, card.sources["idle_watts"]) == (68.5, "our own meter, May 2026")
    assert card.tdp_watts == SHIPPED.accelerator("h100-sxm").tdp_watts
    assert catalog.instance("p5.48xlarge").accelerator is card
    assert SHIPPED.accelerator("h100-sxm").idle_watts == 75


def test_entries_are_added_like_others():
    catalog = with_entries(OWN, SHIPPED, "own.yaml")
    half = catalog.accelerator_by_product("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb")
    assert (half.id, half.memory_gib, half.sources["memory_gib"]) == ("h100-half", 40, "stated in own.yaml")
    lab = catalog.instance("lab-1")
    assert (lab.accelerator.id, lab.accelerator_count, lab.cpu.id, lab.cpu.cores) == (
        "h100-half",
        16,
        "xeon-8490h",
        60,
    )
    assert "memory_gib" not in half.unchecked
    assert catalog.model("own/llama-long-FP8").native_precision == "fp8"
    assert catalog.model("own/new").layers == 2


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"gpus": {}}, "gpus"),
        ({"accelerators": []}, "accelerators"),
        ({"accelerators": {"x": 3}}, r"accelerators\.x"),
        ({"accelerators": {"x": {"vendor": "V"}}}, r"x\."),
        ({"accelerators": {"x": {"like": "h100"}}}, r"x\.like: 'h100'"),
        ({"accelerators": {"h100-sxm": {"colour": "red"}}}, r"h100-sxm\.colour"),
        ({"accelerators": {"h100-sxm": {"tdpWatts": "much"}}}, r"tdp_watts: 'much'"),
        ({"accelerators": {"h100-sxm": {"tdpWatts": -1}}}, "tdp_watts: -1"),
        ({"accelerators": {"h100-sxm": {"tdpWatts": float("nan")}}}, "tdp_watts: nan"),
        ({"accelerators": {"h100-sxm": {"tdpWatts": [1, "nowhere"]}}}, "nowhere"),
        ({"accelerators": {"h100-sxm": {"tdpWatts": [1, 2, 3]}}}, "tdp_watts"),
        ({"cpus": {"xeon-8480plus": {"cores": 1.5}}}, "cores: 1.5"),
        ({"instances": {"p5.48xlarge": {"cpu": "abacus"}}}, r"p5\.48xlarge\.cpu: 'abacus'"),
        ({"instances": {"p5.48xlarge": {"accelerator": 3}}}, "accelerator"),
        ({"models": {"own/x": {"like": "own/y"}}}, r"own/x\.like"),
        ({"models": {"own/x": {"layers": 3}}}, r"own/x"),
        ({"models": {"Qwen/Qwen3-8B": {"layers": "many"}}}, "layers: 'many'"),
        ({"models": {"Qwen/Qwen3-8B": {"layers": 0.0}}}, "layers"),
    ],
)
def test_what_is_wrong_is_named(document, message):
    with pytest.raises(InvalidInputError, match=message):
        with_entries(document, SHIPPED, "own.yaml")


def test_every_command_heeds_the_files(tmp_path: Path, capsys, monkeypatch):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(OWN))
    command = [
        "predict",
        "--model",
        "own/new",
        "--gpu",
        "h100-half",
        "--input",
        "10",
        "--output-tokens",
        "10",
    ]
    assert run(command) == 2
    assert run(["--catalog", str(path), *command]) == 0
    monkeypatch.setenv("ECOSERVE_CATALOG", str(path))
    assert run(command) == 0
    monkeypatch.setenv("ECOSERVE_CATALOG", str(tmp_path / "none.yaml"))
    assert run(command) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert load_catalog() is SHIPPED


def test_later_files_win_and_the_catalogue_in_use_ends_with_its_block(tmp_path: Path):
    for name, watts in (("a", 60), ("b", 61)):
        (tmp_path / name).write_text(yaml.safe_dump({"accelerators": {"h100-sxm": {"idleWatts": watts}}}))
    catalog = extended_catalog([tmp_path / "a", tmp_path / "b"])
    with catalog_in_use(catalog):
        assert load_catalog().accelerator("h100-sxm").idle_watts == 61
    assert load_catalog() is SHIPPED
