"""`ecoserve catalog` as a user meets it."""

import json
from pathlib import Path

import pytest

from ecoserve.catalog import load_catalog
from ecoserve.cli.app import run
from ecoserve.cli.catalog_command import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_names_all_within_100_columns(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["catalog", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in lines)
    listed = "".join(lines)
    assert [name for name in KINDS[kind].entries(load_catalog()) if name not in listed] == []


@pytest.mark.parametrize("kind", KINDS)
def test_json_holds_every_figure_and_marks_the_unchecked(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["catalog", kind, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    known = KINDS[kind].entries(load_catalog())
    assert [each.get("id", each["name"] if kind == "models" else None) for each in found] == list(known)
    if kind != "models":
        assert all(set(each["unchecked"]) <= set(each["sources"]) <= set(each) for each in found)
        assert sum(len(each["unchecked"]) for each in found) == sum(
            len(each.unchecked) for each in known.values()
        )


def test_unchecked_figures_are_marked_and_one_entry_tells_its_sources(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["catalog", "accelerators"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" t4 ")]
    assert row.split()[-3:] == ["18", "?", "0.526"]
    assert run(["catalog", "accelerators", "t4"]) == 0
    assert "nobody has checked this figure" in capsys.readouterr().out


def test_figures_of_ones_own_are_shown_in_place_of_the_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("{accelerators: {t4: {idleWatts: [7.5, meter]}}, sources: {meter: our own meter}}")
    assert run(["--catalog", str(own), "catalog", "accelerators", "t4", "--output", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["idleWatts"], found["sources"]["idleWatts"]) == (7.5, "our own meter")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gpus"], "kind: 'gpus' is not accepted; known names are cpus, accelerators, instances, models"),
        (["models", "llama"], "model: 'llama' is not accepted; known names are"),
        (["accelerators", "h100"], "accelerator: 'h100' is not accepted; known names are h100-"),
    ],
)
def test_an_unknown_name_is_one_line_and_status_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["catalog", *arguments]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert not printed.out
