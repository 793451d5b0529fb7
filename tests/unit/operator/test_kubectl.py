"""The kubectl plugin on objects as the operator writes them, with a kubectl that prints files."""

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecoserve.cli.app import run as run_ecoserve
from ecoserve_operator import kubectl, kubectl_objects
from ecoserve_operator.reporting.instances import PART_BYTES, in_parts

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = ["-f", str(EXAMPLES / "demo"), "-f", str(EXAMPLES / "fleets" / "demo.yaml")]
KUBECTL = """#!/bin/sh
while [ "$1" != get ]; do shift; done
[ "$2" != configmaps ] && exec cat "{folder}/$2.json"
[ ! -e "{folder}/$3.json" ] || exec cat "{folder}/$3.json"
"""
Plugin = Callable[..., tuple[int, str, str]]
Body = dict[str, Any]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Body, str]:
    """A PlacementPlan of the demo, and the instance behind it."""
    folder = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch, (folder / "plan.json").open("w") as out:
        patch.setattr("sys.stdout", out)
        options = ["--at", "2026-06-01T19:00:00Z", "--output", "json"]
        assert run_ecoserve(["plan", *FILES, *options, "--instance-out", str(folder / "i.json")]) == 0
    return json.loads((folder / "plan.json").read_text()), (folder / "i.json").read_text()


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plugin:
    """Write objects for a kubectl of our own and run the plugin; returns status, output and errors."""
    script = tmp_path / "bin" / "kubectl"
    script.parent.mkdir()
    script.write_text(KUBECTL.format(folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(kubectl_objects, "_INSTANCE_WAIT_SECONDS", 0.0)

    def run(*arguments: str, **objects: Body) -> tuple[int, str, str]:
        for kind, body in objects.items():
            name = f"{kind}.ecoserve.dev" if kind == "placementplans" else kind
            (tmp_path / f"{name}.json").write_text(json.dumps(body))
        monkeypatch.setattr("sys.argv", ["kubectl-ecoserve", *arguments])
        with pytest.raises(SystemExit) as ended:
            kubectl.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def told(plan: Body, /, **instances: str | int) -> Body:
    status = {"phase": "Applied", "decision": "Rerouted", "message": "only intensities changed"}
    return plan | {"status": status | {"instances": instances}}


def config_maps(plan_id: str, **files: str) -> dict[str, Body]:
    """The ConfigMaps of a plan's instances, by name."""
    packed = {f"{name}.json.xz": lzma.compress(text.encode()) for name, text in files.items()}
    return {part["metadata"]["name"]: part for part in in_parts("n", "uid", plan_id, packed)}


def test_plan_and_pools_tell_the_decision_and_what_more_adds(
    planned: tuple[Body, str], plugin: Plugin
) -> None:
    plan, _ = planned
    for arguments, words in (
        (["plan"], ["Rerouted: only intensities changed", "1,000 demo/chat-8b online requests more:"]),
        (["pools"], ["ONE MORE", "p5-48xlarge.us-west.2024-06-01"]),
    ):
        status, out, err = plugin(*arguments, placementplans=told(plan))
        assert (status, err) == (0, "")
        assert all(word in out for word in words)
        assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("part_bytes", [PART_BYTES, 1000])
def test_the_instance_is_printed_as_it_was_written(
    part_bytes: int, planned: tuple[Body, str], plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecoserve_operator.reporting.instances.PART_BYTES", part_bytes)
    plan, text = planned
    plan_id = plan["spec"]["id"]
    maps = config_maps(plan_id, carbon=text)
    assert (len(maps) > 1) == (part_bytes < PART_BYTES)
    place = told(plan, configMap="n/ecoserve-instances", parts=len(maps), plan=plan_id)
    for arguments in (["plan", "--instance"], ["plan", "--instance", "carbon"]):
        found = plugin(*arguments, placementplans=place, **maps)
        assert found[0] == 0
        assert json.loads(found[1]) == json.loads(text)


@pytest.mark.parametrize(
    ("second", "word"), [(None, "part 2 of 3 of the instance, is missing"), ("another", "another plan")]
)
def test_an_instance_that_lacks_a_part_is_not_read(
    second: str | None,
    word: str,
    planned: tuple[Body, str],
    plugin: Plugin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, text = planned
    plan_id = plan["spec"]["id"]
    size = len(lzma.compress(text.encode()))
    monkeypatch.setattr("ecoserve_operator.reporting.instances.PART_BYTES", size // 3 + 1)
    maps = config_maps(plan_id, carbon=text)
    name = "ecoserve-instances-2"
    del maps[name]
    if second is not None:
        maps[name] = config_maps(second, carbon=text)[name]
    place = told(plan, configMap="n/ecoserve-instances", parts=3, plan=plan_id)
    status, out, err = plugin("plan", "--instance", placementplans=place, **maps)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert name in err
    assert word in err


@pytest.mark.parametrize(
    ("arguments", "instances", "files", "words"),
    [
        (["--instance"], {"problem": "it is refused"}, {}, "ecoserve plan -f world.json --instance-out"),
        (["--instance"], {"plan": "plan-of-before"}, {}, "try again in a moment"),
        (["--instance"], {}, {}, "try again in a moment"),
        (["--instance", "energy"], None, {"carbon": "{}"}, "known names are carbon"),
        (["--instance"], None, {"carbon": "{}", "cost": "{}"}, "carbon, cost"),
        (["--history", "--instance"], None, {}, "--history alone"),
        (["current", "--history"], None, {}, "--history alone"),
    ],
)
def test_what_cannot_be_printed_is_told_in_one_line(
    arguments: list[str],
    instances: dict[str, str] | None,
    files: dict[str, str],
    words: str,
    planned: tuple[Body, str],
    plugin: Plugin,
) -> None:
    plan, _ = planned
    plan_id = plan["spec"]["id"]
    place = {"configMap": "n/ecoserve-instances", "plan": plan_id} if instances is None else instances
    objects = {"placementplans": told(plan, **place), **config_maps(plan_id, **files)}
    status, out, err = plugin("plan", *arguments, **objects)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert words in err


def test_past_plans_are_listed_newest_first_and_shown_by_name(
    planned: tuple[Body, str], plugin: Plugin
) -> None:
    plan, _ = planned
    name = "2026-06-01t18-00-00z-0123456789"
    past = {**plan, "metadata": {"name": name}}
    past["status"] = {"phase": "Past", "since": "2026-06-01T18:00:00Z", "until": "2026-06-01T19:00:00Z"}
    now = {**plan, "metadata": {"name": "current"}, "status": {"since": "2026-06-01T19:00:00Z"}}
    status, out, err = plugin("plan", "--history", placementplans={"items": [past, now]})
    assert (status, err) == (0, "")
    assert out.index("current") < out.index(name)
    assert max(map(len, out.splitlines())) <= 100
    listed = json.loads(plugin("plan", "--history", "-o", "json", placementplans={"items": [past, now]})[1])
    assert [item["metadata"]["name"] for item in listed] == ["current", name]
