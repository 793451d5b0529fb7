"""Acting on servings: what modes and templates allow, refusals, and waiting that takes too long."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ecoserve.performance import Role
from ecoserve.planner.placement import Placement
from ecoserve_operator.acting.actor import Acted, Actor
from ecoserve_operator.fence import Fence
from ecoserve_operator.kube import ApiRefusedError, Kind
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.reporting.metrics import Metrics
from ecoserve_operator.settings import Settings
from ecoserve_operator.watch.records import deployment_record, serving_record
from ecoserve_operator.watch.world import Nudges, World

ARGS = ["${model} ${tensorParallelSize}"]


class _Api:
    """The part of KubeApi that acting uses: Deployments that have so many ready at once; `refuses` names servings."""

    def __init__(self, refuses: str = "", *, refuses_budgets: bool = False, ready: int = 0) -> None:
        self.fence = Fence()
        self.refuses, self.refuses_budgets = refuses, refuses_budgets
        self._status = {"readyReplicas": ready, "observedGeneration": 1}
        self.applied: list[str] = []
        self.kinds: list[str] = []
        self.written: dict[str, Any] = {}

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], *, force: bool = True) -> dict[str, Any]:
        self.kinds.append(kind.plural)
        if kind.plural == "poddisruptionbudgets":
            assert force
            if self.refuses_budgets:
                raise ApiRefusedError(403, "not allowed")
            return dict(manifest)
        assert kind.plural == "deployments"
        if self.refuses and manifest["metadata"]["name"].startswith(self.refuses):
            raise ApiRefusedError(422, "image is required")
        self.applied.append(manifest["metadata"]["name"])
        metadata = {**manifest["metadata"], "uid": "d", "generation": 1}
        self.written = {**manifest, "metadata": metadata, "status": self._status}
        return self.written


def placement(serving: str) -> Placement:
    return Placement(
        configuration=f"n/{serving}/p/both/tp1/online",
        serving=f"n/{serving}",
        pool="p",
        role=Role.BOTH,
        traffic_class="online",
        tensor_parallel=1,
        cpu_cores=8.0,
        memory_gib=20.0,
        replicas=2,
        requests_per_second=1.0,
        share=1.0,
        operational_grams_per_hour=1.0,
        embodied_grams_per_hour=1.0,
        watts=1.0,
        cost_per_hour=1.0,
        reason="",
    )


def scene(
    *servings: tuple[str, str, list[str], Taken], api: _Api, timeout_seconds: float = 60.0
) -> tuple[World, Callable[[], Awaitable[Mapping[str, Acted]]]]:
    """The world with servings given as (name, mode, arguments of the engine, what they get), and a pass over it."""
    world = World(nudges=Nudges(0.0))
    choices = {}
    for name, mode, args, taken in servings:
        body = {
            "metadata": {"name": name, "namespace": "n", "uid": name, "generation": 1},
            "spec": {
                "model": {"name": "m"},
                "offline": {"load": {"requestsPerSecond": 1, "lengths": "azure-code-2023"}},
                "policy": {"mode": mode},
                "template": {"spec": {"containers": [{"name": "e", "image": "x", "args": args}]}},
            },
        }
        world.put(world.servings, ("n", name), serving_record(body), "")
        choices[f"n/{name}"] = Choice(serving=f"n/{name}", taken=taken, placements=(placement(name),))
    settings = Settings(progress_timeout_seconds=timeout_seconds)
    actor = Actor(api, world, Metrics(), settings)  # type: ignore[arg-type]  # a fake of one method
    return world, lambda: actor.act(choices, {"p": (("zone", "west"),)})


def play(
    *servings: tuple[str, str, list[str], Taken], api: _Api, timeout_seconds: float = 60.0, passes: int = 1
) -> Mapping[str, Acted]:
    """Act on servings; the last pass's result."""

    async def run() -> Mapping[str, Acted]:
        _, act = scene(*servings, api=api, timeout_seconds=timeout_seconds)
        acted: Mapping[str, Acted] = {}
        for _ in range(passes):
            acted = await act()
            await asyncio.sleep(0.02)
        return acted

    return asyncio.run(run())


def test_what_is_allowed_is_applied_and_the_rest_says_why_not() -> None:
    api = _Api(refuses="bad")
    acted = play(
        ("good", "Enforce", ARGS, Taken.PLAN),
        ("bad", "Enforce", ARGS, Taken.PLAN),
        ("untold", "Enforce", ["${model}"], Taken.PLAN),
        ("advice", "Recommend", ARGS, Taken.PLAN),
        ("paused", "Paused", ARGS, Taken.PLAN),
        ("held", "Enforce", ARGS, Taken.HELD),
        api=api,
    )
    assert api.applied == ["good-p-both-tp1"]
    assert {name: result.applied.reason for name, result in acted.items()} == {
        "n/good": "Progressing",
        "n/bad": "ApplyRefused",
        "n/untold": "TemplateInvalid",
        "n/advice": "Recommended",
        "n/paused": "Paused",
        "n/held": "HeldAtLastGood",
    }
    assert "image is required" in acted["n/bad"].applied.message


def test_what_is_applied_is_not_applied_again() -> None:
    api = _Api()
    play(("good", "Enforce", ARGS, Taken.PLAN), api=api, passes=3)
    assert len(api.applied) == 1


def test_waiting_that_takes_too_long_says_what_is_awaited() -> None:
    acted = play(("good", "Enforce", ARGS, Taken.PLAN), api=_Api(), timeout_seconds=0.01, passes=2)
    applied = acted["n/good"].applied
    assert (applied.status, applied.reason) == ("False", "ProgressTimeout")
    assert "2 of 2 replicas of Deployment good-p-both-tp1" in applied.message


def test_a_changed_template_is_applied_once_no_pod_is_of_the_one_before() -> None:
    """Old pods are as ready as before, and stay so where the new ones never get ready."""

    async def run() -> list[tuple[str, str]]:
        api, told = _Api(ready=2), []
        world, act = scene(("good", "Enforce", ARGS, Taken.PLAN), api=api)
        await act()
        (key,) = world.deployments
        for observed, pods, updated in ((0, 2, 2), (1, 3, 1), (1, 3, 2), (1, 2, 2)):
            status = {"observedGeneration": observed, "replicas": pods, "updatedReplicas": updated}
            world.deployments[key] = deployment_record(
                {**api.written, "status": {**status, "readyReplicas": 2}}
            )
            applied = (await act())["n/good"].applied
            told.append((applied.status, applied.reason))
        return told

    awaited = ("False", "Progressing")
    assert asyncio.run(run()) == [awaited, awaited, awaited, ("True", "Placed")]


def test_the_deployments_of_all_come_before_anybodys_budgets() -> None:
    api = _Api(ready=1)
    play(*((f"s{number}", "Enforce", ARGS, Taken.PLAN) for number in range(40)), api=api)
    assert api.kinds == ["deployments"] * 40 + ["poddisruptionbudgets"] * 40


def test_a_refused_budget_is_told_and_what_was_written_counts() -> None:
    acted = play(("good", "Enforce", ARGS, Taken.PLAN), api=_Api(refuses_budgets=True, ready=1))["n/good"]
    assert (acted.applied.reason, acted.writes) == ("ApplyRefused", 1)
