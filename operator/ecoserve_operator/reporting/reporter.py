"""Writing what there is to tell: the PlacementPlan, the statuses, and an event for each transition.

A status is written when it says something new, and events follow only such writes, so a quiet cluster gets no
requests. An object that has gone meanwhile needs no status.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import Any

from ecoserve.api.accounts import Account, ForecastAccuracy
from ecoserve.api.labels import API_VERSION, INSTANCES_NAME
from ecoserve.api.placementplan import PlacementPlanStatus, PlanInstances
from ecoserve_operator.kube import (
    EVENT,
    GRID_ZONE,
    LLM_SERVING,
    PLACEMENT_PLAN,
    ApiRefusedError,
    Kind,
    KubeApi,
)
from ecoserve_operator.planning.calls import Comparison
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.session import Exported
from ecoserve_operator.reporting import placement_plan as plans
from ecoserve_operator.reporting.allowance import Allowance, FigureRate
from ecoserve_operator.reporting.conditions import Reason, Verdict, settle, transitions
from ecoserve_operator.reporting.events import moves_between, serving_events, transition_events
from ecoserve_operator.reporting.history import PlanHistory, replicas_of
from ecoserve_operator.reporting.instance_store import InstanceStore
from ecoserve_operator.reporting.status import (
    ServingFacts,
    build_status,
    build_zone_status,
    is_news,
    is_urgent,
)
from ecoserve_operator.reporting.verdicts import nodes_verdict, serving_verdicts
from ecoserve_operator.signals.intensity import Reading
from ecoserve_operator.watch.records import Key, Reported, ServingRecord, ZoneRecord
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

_ACCOUNT_SECONDS = 55.0
"""How often the account of all servings is written at least: with each look at everything, a minute apart."""
_SERVING_ACCOUNT_SECONDS = 3600.0
"""The same of one serving's, without other news: hundreds of servings must not write all the time."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Since when news of a serving waits to be written, and whether it is more than figures."""

    since: float
    urgent: bool = False


_NOT_WAITING = _Waiting(since=inf)


@dataclass(frozen=True, slots=True)
class _Followed:
    """A plan that another has followed, and when; it is still to be kept as past."""

    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    uid: str
    until: str


class Reporter:
    """Remembers the PlacementPlan written last; the statuses written last are in the world. `clock` is in seconds."""

    def __init__(
        self, api: KubeApi, world: World, namespace: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._clock = clock
        self._world = world
        self._namespace = namespace
        self._history = PlanHistory(api)
        self._followed: list[_Followed] = []
        self._plan: dict[str, Any] = {}
        self._plan_uid = ""
        self._plan_generation = 0
        self._plan_status: dict[str, Any] = {}
        self._since = ""
        self._restored = False
        self._built_of: tuple[Decision, Comparison | None] | None = None
        self._told_at: dict[Key, float] = {}
        self._waiting: dict[Key, _Waiting] = {}
        self._decision: Decision | None = None
        """The one that `_seen` is of: what was looked at and not written, and what it meant, so as not to build it again."""
        self._seen: dict[Key, tuple[ServingFacts, str]] = {}
        self._figures = FigureRate(clock)
        self._account_told_at = 0.0
        self._store = InstanceStore(api, namespace)
        self._export = PlanInstances()

    @property
    def plan_id(self) -> str:
        """Identity of the PlacementPlan written last."""
        return str(self._plan.get("id", ""))

    @property
    def plan_uid(self) -> str:
        """The uid of the current PlacementPlan; empty before there is one."""
        return self._plan_uid

    async def report_plan(self, decision: Decision, comparison: Comparison | None) -> None:
        """Write PlacementPlan `current` where it has changed; before acting, as the extender steers by it."""
        await self._restore()
        built_of = self._built_of
        if decision.plan is None or (
            built_of is not None and built_of[0] is decision and built_of[1] is comparison
        ):
            return
        points = comparison.whole if comparison is not None else ()
        spec = plans.build_plan_spec(decision.plan, decision.choices.values(), points)
        if comparison is None:  # as after a restart: what was compared last holds until it is compared anew
            spec["designPoints"] = self._plan.get("designPoints", [])
        lacks_reasons_only = not decision.explained and spec["id"] == self.plan_id  # as after a restart
        if lacks_reasons_only or {**spec, "plannedAt": ""} == {**self._plan, "plannedAt": ""}:
            self._built_of = (decision, comparison)
            return
        others = replicas_of(spec) != replicas_of(self._plan)
        written = await self._api.apply(PLACEMENT_PLAN, plans.build_plan_manifest(spec))
        if others and replicas_of(self._plan):
            self._followed.append(
                _Followed(self._plan, self._plan_status, self._plan_uid, until=spec["plannedAt"])
            )
        self._since = spec["plannedAt"] if others or not self._since else self._since
        self._take_down(written, spec)
        self._built_of = (decision, comparison)

    async def report_past_plans(self) -> None:
        """Write as past what PlacementPlan `current` has followed since the last call: after acting, which needs none of it."""
        while self._followed:
            past = self._followed[0]
            await self._history.keep(past.spec, past.status, past.uid, past.until)
            del self._followed[0]

    async def _restore(self) -> None:
        """Go on from the plan that is there, once: a restart neither files it as past nor forgets since when it is."""
        if self._restored:
            return
        current = await self._history.load()
        if current is not None:
            self._take_down(current, current["spec"])
            self._plan_status = current.get("status") or {}
            self._since = str(self._plan_status.get("since", ""))
        self._restored = True

    def _take_down(self, written: Mapping[str, Any], spec: dict[str, Any]) -> None:
        self._plan, self._plan_uid = spec, written["metadata"]["uid"]
        self._plan_generation = int(written["metadata"].get("generation", 0))

    async def report_instances(self, exported: Exported) -> None:
        """Write the instances behind the plan to ConfigMaps, where they have changed; a refusal is only told."""
        place = f"{self._namespace}/{INSTANCES_NAME}"
        problem = exported.problem
        self._export = PlanInstances()
        if self._plan and exported.files:
            try:
                parts = await self._store.write(self._plan_uid, self.plan_id, exported.files)
                self._export = PlanInstances(config_map=place, parts=parts, plan=self.plan_id)
            except ApiRefusedError as error:
                problem = f"ConfigMap {place} is refused: {error}"
        if problem:
            logger.warning("the plan's instance is not exported: %s", problem)
            self._export = PlanInstances(problem=problem)

    @property
    def plan_status(self) -> Mapping[str, Any]:
        """The status of the PlacementPlan as it was written last, by whoever wrote it."""
        return self._plan_status

    async def report_plan_status(
        self, phase: str, decision: Decision, comparison: Comparison | None, account: Account | None
    ) -> None:
        """Write how far the plan has been carried out, how it was found, which nodes are not known, and its instances."""
        nodes = [nodes_verdict(decision.snapshot)]
        before = Reported(body=self._plan_status).conditions
        manifest = plans.build_plan_status(
            PlacementPlanStatus(
                phase=phase,
                since=self._since,
                decision=decision.route.value,
                message=decision.detail,
                levers=comparison.levers if comparison is not None else (),
                account=account,
                instances=self._export,
                conditions=settle(nodes, before, self._plan_generation, datetime.now(UTC)),
            )
        )
        due = self._clock() - self._account_told_at >= _ACCOUNT_SECONDS
        news = is_news(manifest["status"], self._plan_status)
        if self._plan and (news or due) and manifest["status"] != self._plan_status:
            await self._api.apply(PLACEMENT_PLAN, manifest, subresource="status")
            self._plan_status, self._account_told_at = manifest["status"], self._clock()

    def longest_waiting(self, records: Iterable[ServingRecord]) -> list[ServingRecord]:
        """Return servings in the order in which their news is to be written."""
        return sorted(records, key=lambda record: self._waiting.get(record.key, _NOT_WAITING).since)

    async def report_serving(self, facts: ServingFacts, allowance: Allowance) -> str:
        """Write an LLMServing's status and the events of what changed in it; returns what the decision meant for it.

        What the pass's allowance does not let through waits for a later one.
        """
        record, before = facts.record, self._world.reported.get(facts.record.key, Reported())
        facts = replace(facts, before=before.body)
        account_due = self._account_is_due(facts)
        if facts.decision is not self._decision:
            self._decision, self._seen = facts.decision, {}
        known, outcome = self._seen.get(record.key, (None, ""))
        waits = record.key in self._waiting and allowance.lets_figures(self._waited(record.key))
        if not account_due and not (waits and self._figures.left()) and replace(facts, account=None) == known:
            return outcome
        verdicts = serving_verdicts(record, facts.choice, facts.fresh, facts.applied, facts.load)
        conditions = settle(verdicts, before.conditions, record.generation, datetime.now(UTC))
        status = build_status(facts, conditions, self.plan_id)
        outcome = str(status["decision"]["reason"])
        news = is_news(status, before.body)
        urgent = news and is_urgent(status, before.body)
        may_be_told = self._may_be_told(facts, allowance, urgent=urgent) if news else account_due
        if not news or may_be_told:
            self._waiting.pop(record.key, None)
        if not may_be_told:
            if not urgent:
                self._seen[record.key] = (replace(facts, account=None), outcome)
            return outcome
        if await self._write(LLM_SERVING, record, status):
            self._told_at[record.key] = self._clock()
            allowance.wrote = True
            moves = moves_between(before.body.get("pools", ()), status.get("pools", ()))
            await self._post(*serving_events(record, transitions(conditions, before.conditions), moves))
        return outcome

    def _may_be_told(self, facts: ServingFacts, allowance: Allowance, *, urgent: bool) -> bool:
        """Whether a serving's news may be written in this pass; what may not is waiting from now on, if it is not yet."""
        key = facts.record.key
        if facts.applied.reason == Reason.TAKEN_BACK:
            return True  # only this pass knows of it
        waiting = self._waiting.get(key)
        if waiting is None or (urgent and not waiting.urgent):
            self._waiting[key] = _Waiting(since=self._clock(), urgent=urgent)
        waited = self._waited(key)
        if not urgent:
            return allowance.lets_figures(waited) and self._figures.take()
        spec_is_new = facts.before.get("observedGeneration") != facts.record.generation
        return allowance.lets_news(waited, at_once=spec_is_new)

    def _waited(self, key: Key) -> float:
        return self._clock() - self._waiting[key].since

    def _account_is_due(self, facts: ServingFacts) -> bool:
        """Whether what an account says is old enough to be written without other news."""
        told_at = self._told_at.setdefault(facts.record.key, self._clock())
        return facts.account is not None and self._clock() - told_at >= _SERVING_ACCOUNT_SECONDS

    async def report_zone(
        self,
        record: ZoneRecord,
        reading: Reading,
        verdict: Verdict,
        forecasts: tuple[ForecastAccuracy, ...],
    ) -> None:
        """Write a GridZone's status and the event of a change in its freshness."""
        before = self._world.reported.get((None, record.name), Reported())
        conditions = settle([verdict], before.conditions, record.generation, datetime.now(UTC))
        status = build_zone_status(reading, record.generation, conditions, forecasts)
        if not is_news(status, before.body) or not await self._write(GRID_ZONE, record, status):
            return
        await self._post(*transition_events(record, "GridZone", transitions(conditions, before.conditions)))

    async def _write(self, kind: Kind, record: ServingRecord | ZoneRecord, status: Mapping[str, Any]) -> bool:
        namespace = record.namespace if isinstance(record, ServingRecord) else None
        manifest = {
            "apiVersion": API_VERSION,
            "kind": "LLMServing" if kind is LLM_SERVING else "GridZone",
            "metadata": {
                "name": record.name,
                "uid": record.uid,
                **({"namespace": namespace} if namespace is not None else {}),
            },
            "status": dict(status),
        }
        try:
            await self._api.apply(kind, manifest, subresource="status")
        except ApiRefusedError as error:
            if error.status not in (404, 409):  # gone, or another object of this name by now
                logger.warning("the status of %s is refused: %s", record.name, error)
            return False
        self._world.reported[namespace, record.name] = Reported(body=dict(status))
        return True

    async def _post(self, *events: Mapping[str, Any]) -> None:
        for event in events:
            try:
                await self._api.create(EVENT, event)
            except ApiRefusedError as error:  # such as a namespace that is being deleted
                logger.warning("an event is refused: %s", error)
