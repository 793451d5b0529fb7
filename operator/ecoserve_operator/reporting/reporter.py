"""Writing what there is to tell: the PlacementPlan, the statuses, and an event for each transition.

A status is written when it says something new, and events follow only such writes, so a quiet cluster gets no
requests. An object that has gone meanwhile needs no status.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ecoserve.api.labels import API_VERSION, INSTANCES_NAME
from ecoserve.api.placementplan import PlacementPlanStatus, PlanInstances
from ecoserve_operator.kube import (
    CONFIG_MAP,
    EVENT,
    GRID_ZONE,
    LLM_SERVING,
    PLACEMENT_PLAN,
    ApiRefusedError,
    Kind,
    KubeApi,
)
from ecoserve_operator.planning.calls import Comparison
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.offline import Order
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.session import Exported
from ecoserve_operator.reporting import placement_plan as plans
from ecoserve_operator.reporting.conditions import Verdict, settle, transitions
from ecoserve_operator.reporting.events import placement_event, transition_events
from ecoserve_operator.reporting.history import PlanHistory, replicas_of
from ecoserve_operator.reporting.status import build_status, build_zone_status, is_news, with_kept
from ecoserve_operator.reporting.verdicts import nodes_verdict
from ecoserve_operator.signals.intensity import Reading
from ecoserve_operator.watch.records import DeploymentRecord, Reported, ServingRecord, ZoneRecord
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)


class Reporter:
    """Remembers the PlacementPlan written last; the statuses written last are in the world."""

    def __init__(self, api: KubeApi, world: World, namespace: str) -> None:
        self._api = api
        self._world = world
        self._namespace = namespace
        self._history = PlanHistory(api)
        self._plan: dict[str, Any] = {}
        self._plan_uid = ""
        self._plan_generation = 0
        self._plan_status: dict[str, Any] = {}
        self._since = ""
        self._restored = False
        self._instances: dict[str, Any] = {}
        self._export = PlanInstances()

    @property
    def plan_id(self) -> str:
        """Identity of the PlacementPlan written last."""
        return str(self._plan.get("id", ""))

    async def report_plan(self, decision: Decision, comparison: Comparison | None) -> None:
        """Write PlacementPlan `current` where it has changed; before acting, as the extender steers by it."""
        await self._restore()
        if decision.plan is None:
            return
        points = comparison.whole if comparison is not None else ()
        spec = plans.build_plan_spec(decision.plan, decision.choices.values(), points)
        if {**spec, "plannedAt": ""} == {**self._plan, "plannedAt": ""}:
            return
        others = replicas_of(spec) != replicas_of(self._plan)
        if others and replicas_of(self._plan):
            await self._history.keep(self._plan, self._plan_status, self._plan_uid, spec["plannedAt"])
        written = await self._api.apply(PLACEMENT_PLAN, plans.build_plan_manifest(spec))
        self._since = spec["plannedAt"] if others or not self._since else self._since
        self._take_down(written, spec)

    async def _restore(self) -> None:
        """Go on from the plan that is there, once: after a restart it is neither written again nor lost to history."""
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
        """Write the instances behind the plan to a ConfigMap, where they have changed; a refusal is only told."""
        place = f"{self._namespace}/{INSTANCES_NAME}"
        problem = exported.problem
        if self._plan and exported.files:
            manifest = plans.build_instances(self._namespace, self._plan_uid, self.plan_id, exported.files)
            try:
                if manifest != self._instances:
                    await self._api.apply(CONFIG_MAP, manifest)
                    self._instances = manifest
            except ApiRefusedError as error:
                problem = f"ConfigMap {place} is refused: {error}"
        if problem:
            logger.warning("the plan's instance is not exported: %s", problem)
        kept = bool(exported.files) and not problem
        self._export = PlanInstances(
            config_map=place if kept else "", plan=self.plan_id if kept else "", problem=problem
        )

    async def report_plan_status(self, phase: str, decision: Decision) -> None:
        """Write how far the plan has been carried out, how it was found, which nodes are not known, and its instances."""
        nodes = [nodes_verdict(decision.snapshot)]
        before = Reported(body=self._plan_status).conditions
        manifest = plans.build_plan_status(
            PlacementPlanStatus(
                phase=phase,
                since=self._since,
                decision=decision.route.value,
                message=decision.detail,
                instances=self._export,
                conditions=settle(nodes, before, self._plan_generation, datetime.now(UTC)),
            )
        )
        if self._plan and manifest["status"] != self._plan_status:
            await self._api.apply(PLACEMENT_PLAN, manifest, subresource="status")
            self._plan_status = manifest["status"]

    async def report_serving(
        self,
        record: ServingRecord,
        choice: Choice | None,
        verdicts: Iterable[Verdict],
        deployments: Iterable[DeploymentRecord],
        comparison: Comparison | None,
        decision: Decision,
        order: Order | None,
    ) -> None:
        """Write an LLMServing's status and the events of what changed in it."""
        before = self._world.reported.get(record.key, Reported())
        conditions = settle(verdicts, before.conditions, record.generation, datetime.now(UTC))
        explanation = decision.plan.explanation if decision.plan is not None else None
        status = build_status(
            record,
            choice,
            conditions,
            deployments,
            comparison,
            self.plan_id,
            decision.decided_at,
            order,
            explanation,
        )
        if choice is None or choice.taken is Taken.HELD:
            status = with_kept(status, before.body)
        if not is_news(status, before.body) or not await self._write(LLM_SERVING, record, status):
            return
        moved = placement_event(record, status.get("pools", ()), before.body.get("pools", ()))
        changed = transition_events(record, "LLMServing", transitions(conditions, before.conditions))
        await self._post(*changed, *([moved] if moved is not None else []))

    async def report_zone(self, record: ZoneRecord, reading: Reading, verdict: Verdict) -> None:
        """Write a GridZone's status and the event of a change in its freshness."""
        before = self._world.reported.get((None, record.name), Reported())
        conditions = settle([verdict], before.conditions, record.generation, datetime.now(UTC))
        status = build_zone_status(reading, record.generation, conditions)
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
