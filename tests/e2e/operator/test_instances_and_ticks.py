"""Every decision can be replayed elsewhere, and small moves of the grid are followed without a search."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecoserve.cli.app import run as run_ecoserve

pytestmark = pytest.mark.devcluster


def settled(world: Any, *names: str) -> Any:
    """Wait until servings are placed and the plan of just them is carried out and exported; return the plan."""
    for name in names:
        world.eventually(world.has_condition(name, "Ready", "True", "Placed"))

    def whole() -> Any:
        plan = world.plan()
        status = plan["status"]
        mine = {(item["namespace"], item["serving"]) for item in plan["spec"]["placements"]}
        done = status.get("phase") == "Applied" and status["instances"].get("plan") == plan["spec"]["id"]
        return plan if done and mine == {(world.namespace, name) for name in names} else None

    return world.eventually(whole)


def solved(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    path = folder / "instance.json"
    path.write_text(text)
    capsys.readouterr()
    assert run_ecoserve(["solve", str(path)]) == 0
    return json.loads(capsys.readouterr().out)


def exported_plan(world: Any, ecoserve: Callable[..., Any]) -> tuple[Any, str]:
    """The current plan and its instance: the operator may plan anew between two looks, so that both are looked at again."""

    def both() -> tuple[Any, str] | None:
        plan = settled(world, "chat")
        done = ecoserve("plan", "--instance")
        assert done.returncode == 0, done.stderr
        same = world.plan()["spec"]["id"] == plan["spec"]["id"]
        return (plan, done.stdout) if same else None

    return world.eventually(both)


def test_the_plan_is_exported_and_solves_to_the_same_objective(
    world: Any, ecoserve: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    for west in (50, 51, 700):  # planned, rerouted, planned with replicas held
        world.intensity(west=west, east=600)
        world.eventually(
            lambda west=west: any(
                zone["name"] == "west" and zone["carbonIntensity"] == west
                for zone in world.plan()["spec"]["zones"]
            )
        )
        plan, exported = exported_plan(world, ecoserve)
        (objective,) = plan["spec"]["objectives"]
        result = solved(exported, tmp_path, capsys)
        assert result["objective"] == pytest.approx(objective["value"], rel=1e-6)
        grams = result["operationalGramsPerHour"] + result["embodiedGramsPerHour"]
        assert grams == pytest.approx(plan["spec"]["gramsPerHour"], rel=1e-4)
        assert json.loads(exported)["metadata"]["name"] == objective["instance"]


def test_each_objective_has_an_instance_of_its_own(
    world: Any, ecoserve: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.serve("green")
    world.serve("cheap", policy={"mode": "Enforce", "objective": "cost"})
    plan = settled(world, "green", "cheap")
    unnamed = ecoserve("plan", "--instance")
    assert unnamed.returncode == 2
    assert "carbon, cost" in unnamed.stderr
    unknown = ecoserve("plan", "--instance", "energy")
    assert unknown.returncode == 2
    assert len(unknown.stderr.splitlines()) == 1
    values = {item["objective"]: item["value"] for item in plan["spec"]["objectives"]}
    assert set(values) == {"carbon", "cost"}
    for name, value in values.items():
        done = ecoserve("plan", "--instance", name)
        assert done.returncode == 0, done.stderr
        assert solved(done.stdout, tmp_path, capsys)["objective"] == pytest.approx(value, rel=1e-6)


def test_a_small_move_of_the_grid_is_followed_and_a_large_one_planned_anew(world: Any) -> None:
    world.intensity(west=100, east=600)
    world.serve("chat")
    settled(world, "chat")
    (before,) = world.get("deployments")

    def decided(west: float, decision: str) -> Any:
        def holds() -> bool:
            plan = world.plan()
            zones = {zone["name"]: zone["carbonIntensity"] for zone in plan["spec"]["zones"]}
            return zones.get("west") == west and plan["status"].get("decision") == decision

        return holds

    grams = world.plan()["spec"]["gramsPerHour"]
    world.intensity(west=102, east=598)
    world.eventually(decided(102, "Rerouted"))
    plan = world.plan()
    assert "only intensities changed" in plan["status"]["message"]
    assert plan["spec"]["gramsPerHour"] > grams
    (after,) = world.get("deployments")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]

    world.intensity(west=800, east=20)
    world.eventually(lambda: world.replicas_by_zone("chat").get("east", 0) >= 1)


def test_explanations_are_in_status_and_read_well(world: Any, ecoserve: Callable[..., Any]) -> None:
    world.serve("chat")
    plan = settled(world, "chat")
    assert plan["spec"]["slices"]
    assert all(pool["oneMoreNodeSaves"] >= 0 for pool in plan["spec"]["pools"])
    status = world.eventually(
        lambda: (
            found
            if (found := world.get("llmserving", "chat")["status"]).get("plan") == world.plan()["spec"]["id"]
            else None
        )
    )
    assert status["slices"]
    (margin,) = status["margins"]
    assert margin["class"] == "online"
    assert margin["marginal"] > 0
    for item in status["slices"]:
        assert item["why"]
        assert item["servedBy"].endswith(status["pools"][0]["pool"])
    shown = ecoserve("explain", "llmserving", "chat", "-n", world.namespace).stdout
    assert status["slices"][0]["slice"] in shown
    assert "1,000 online requests more" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_a_plan_can_be_made_from_the_clusters_objects(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is told to do where an instance is too large to be kept."""
    world.serve("chat")
    plan = settled(world, "chat")
    kinds = "nodes,llmservings,gridzones,hardwareprofiles"
    (tmp_path / "world.json").write_text(world.cluster.kubectl("get", kinds, "-A", "-o", "json"))
    path = tmp_path / "instance.json"
    capsys.readouterr()
    assert run_ecoserve(["plan", "-f", str(tmp_path / "world.json"), "--instance-out", str(path)]) == 0
    grams = solved(path.read_text(), tmp_path, capsys)["objective"]
    assert grams == pytest.approx(plan["spec"]["gramsPerHour"], rel=0.02)
