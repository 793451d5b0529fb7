"""A pass as a whole: what it tells is of what it saw, whatever changes while it plans."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ecoserve.catalog import load_catalog
from ecoserve_operator.acting.actor import Actor
from ecoserve_operator.clock import SystemClock
from ecoserve_operator.fence import Fence
from ecoserve_operator.kube import Kind
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.comparer import Comparer
from ecoserve_operator.planning.decision import Choice
from ecoserve_operator.planning.deferral import Deferral
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.scheduler import Scheduler
from ecoserve_operator.planning.snapshot import View
from ecoserve_operator.reconcile import Reconciler
from ecoserve_operator.reporting.accounts import Accounts
from ecoserve_operator.reporting.accuracy import IntensityAccuracy
from ecoserve_operator.reporting.metrics import Metrics
from ecoserve_operator.reporting.reporter import Reporter
from ecoserve_operator.settings import Settings
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.load.signals import LoadSignals
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.watch.records import serving_record, zone_record
from ecoserve_operator.watch.world import Nudges, World

ChoiceOf = Callable[..., Choice]


class _Api:
    """The part of KubeApi that a pass uses where nothing is carried out: which generation statuses were written of."""

    def __init__(self) -> None:
        self.fence = Fence()
        self.told: dict[str, int] = {}

    async def list(self, _: Kind) -> list[dict[str, Any]]:
        return []

    async def apply(self, _: Kind, manifest: Mapping[str, Any], *, subresource: str) -> None:
        assert subresource == "status"
        generations = {each["observedGeneration"] for each in manifest["status"]["conditions"]}
        assert generations == {manifest["status"]["observedGeneration"]}
        (self.told[manifest["metadata"]["name"]],) = generations

    async def create(self, *_: object) -> None:
        pass


class _Planner:
    """Decides what it is told to; `meanwhile` happens before it has."""

    exported, follow_up_since = None, None

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.meanwhile: Callable[[], None] = lambda: None

    async def decide(self, view: View, _: object) -> tuple[Decision, bool]:
        self.meanwhile()
        choices = {demand.name: self.choice for demand in view.snapshot.servings}
        at = view.snapshot.taken_at
        return Decision(snapshot=view.snapshot, plan=None, choices=choices, decided_at=at), False

    def note_carried_out(self) -> None:
        pass


def serving(generation: int, name: str = "chat", uid: str = "u") -> dict[str, Any]:
    load = {"requestsPerSecond": float(generation), "lengths": "azure-code-2023"}
    return {
        "metadata": {"name": name, "namespace": "n", "uid": uid, "generation": generation},
        "spec": {
            "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
            "offline": {"load": load},
            "policy": {"mode": "Recommend"},
        },
    }


def grid(generation: int) -> dict[str, Any]:
    metadata = {"name": "west", "uid": "z", "generation": generation}
    head = {"apiVersion": "ecoserve.dev/v1alpha1", "kind": "GridZone", "metadata": metadata}
    return {**head, "spec": {"intensity": {"gramsPerKilowattHour": 100 * generation}}}


def put(world: World, *servings: dict[str, Any], zone: int) -> None:
    world.servings.clear()
    for body in servings:
        record = serving_record(body)
        world.servings[record.key] = record
    world.zones[None, "west"] = zone_record(grid(zone))


def reconciler(world: World, api: Any, planner: Any) -> Reconciler:
    """All parts are the operator's own, but for the planner and the API server."""

    def nobody(_: object) -> Any:
        raise AssertionError("no provider is asked")

    settings, metrics, clock, catalog = Settings(), Metrics(), SystemClock(), load_catalog()
    signals = GridSignals(api, Followers(nobody, lambda: None, "none"), settings.hold_seconds)
    loads = LoadSignals(Followers(nobody, lambda: None, "none"), "")
    scheduler = Scheduler(1.0, Capacities(), lambda: None)
    return Reconciler(
        world=world,
        clock=clock,
        settings=settings,
        catalog=catalog,
        signals=signals,
        loads=loads,
        planner=planner,
        deferral=Deferral(world, signals, catalog, clock, settings, loads, scheduler),
        comparer=Comparer(settings, Capacities(), lambda: None),
        actor=Actor(api, world, metrics, settings),
        reporter=Reporter(api, world, "system"),
        accounts=Accounts(metrics.count_grams),
        accuracy=IntensityAccuracy(),
        metrics=metrics,
    )


def test_what_has_changed_while_it_was_planned_is_told_of_by_the_next_pass(choice_of: ChoiceOf) -> None:
    """`kubectl wait --for=condition=Applied` goes by `observedGeneration`: it must not end before a new spec is planned."""

    async def play() -> list[dict[str, int]]:
        world, api, planner = World(nudges=Nudges(0.0)), _Api(), _Planner(choice_of())
        passes, told = reconciler(world, api, planner), []
        put(world, serving(1), serving(1, "again", "before"), serving(1, "same"), zone=1)
        changed = (serving(2), serving(1, "again", "after"), serving(1, "same"), serving(1, "new"))
        planner.meanwhile = lambda: put(world, *changed, zone=2)
        for _ in range(2):
            await passes.reconcile(("a test",), 0.0)
            told.append(dict(api.told))
        return told

    during, after = asyncio.run(play())
    assert during == {"same": 1, "west": 1}
    assert after == {"same": 1, "west": 2, "chat": 2, "again": 1, "new": 1}
