"""Acting on a decision, serving by serving: what its mode allows, as far as its template and the API let it."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ecoserve.api import LLMServing
from ecoserve.api.llmserving import Mode
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.pools import Selector
from ecoserve.fleet.snapshot import Snapshot
from ecoserve_operator.acting.apply import Done, carry_out
from ecoserve_operator.acting.budgets import build_budgets
from ecoserve_operator.acting.deployments import Wanted, wanted_of
from ecoserve_operator.acting.refusals import refused
from ecoserve_operator.acting.router import Router
from ecoserve_operator.acting.standstill import Progress, Standstills
from ecoserve_operator.acting.template import check_templates
from ecoserve_operator.acting.written import Written
from ecoserve_operator.kube import BUDGET, ApiRefusedError, Kind, KubeApi
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.snapshot import mode_of
from ecoserve_operator.reporting.conditions import Aspect, Reason, Status, Verdict
from ecoserve_operator.reporting.metrics import Metrics
from ecoserve_operator.settings import Settings
from ecoserve_operator.side_by_side import side_by_side
from ecoserve_operator.watch.records import DeploymentRecord, Key, ServingRecord
from ecoserve_operator.watch.scalers import ScalerRecord, scalers_by_target
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What came of acting on one serving."""

    applied: Verdict
    writes: int = 0
    waits: bool = False
    """Whether replicas are awaited."""
    desired: Mapping[Key, int] = field(default_factory=dict)
    """Replicas that are to be, by Deployment."""
    progress: Progress | None = None
    """How its change stands, where it has one of its own and is not about to leave nodes."""
    budgets: Sequence[Mapping[str, Any]] = ()
    """The budgets of what is left to run: written after all servings' Deployments, which must not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What all servings are acted on amid: labels of the pools, who else scales, which replicas are to leave nodes.

    `placed` are the pods that nodes have taken, by Deployment.
    """

    selectors: Mapping[str, Selector]
    scalers: Mapping[Key, ScalerRecord]
    leaving: Mapping[Key, int]
    placed: Mapping[Key, int]


class Actor:
    """Remembers since when each serving's raised replicas are awaited, and whose change stands still."""

    def __init__(self, api: KubeApi, world: World, metrics: Metrics, settings: Settings) -> None:
        self._api = api
        self._world = world
        self._metrics = metrics
        self._timeout_seconds = settings.progress_timeout_seconds
        self._surge_fraction = settings.surge_percent / 100
        self._written = Written(api)
        self._router = Router(api, self._written, world)
        self._waiting_since: dict[str, float] = {}
        self._standstills = Standstills(settings.room_wait_seconds, settings.stay_seconds)

    def stays(self, snapshot: Snapshot) -> frozenset[str]:
        """The servings of which the next plan is to take away nothing, as their last one can't be reached."""
        return self._standstills.stays(snapshot, time.monotonic())

    def forget_written(self, kind: Kind) -> None:
        """Take objects of a kind for not written: its CRD has come or gone, and they with it."""
        self._router.forget(kind)

    async def act(self, choices: Mapping[str, Choice], selectors: Mapping[str, Selector]) -> dict[str, Acted]:
        """Act on all servings; one that the API server refuses does not stop the others."""
        running = self._world.deployments_by_owner()
        around = _Around(
            selectors=selectors,
            scalers=scalers_by_target(self._world.autoscalers.values(), self._world.scaled_objects.values()),
            leaving=self._world.leaving(),
            placed=self._world.placed(),
        )

        records = list(self._world.servings.values())
        results = await side_by_side(
            partial(self._act, record, choices.get(record.full_name), running.get(record.uid, {}), around)
            for record in records
        )
        results = await side_by_side(
            partial(self._guarded, record, result) for record, result in zip(records, results, strict=True)
        )
        acted = {record.full_name: result for record, result in zip(records, results, strict=True)}
        self._metrics.show_desired(
            {
                key: (record.full_name, replicas)
                for record, result in zip(records, results, strict=True)
                for key, replicas in result.desired.items()
            }
        )
        progress = {name: each.progress for name, each in acted.items() if each.progress is not None}
        ripe = self._standstills.ripe(progress, time.monotonic())
        for name in sorted(
            self._standstills.note(await refused(self._api, {name: progress[name] for name in ripe}))
        ):
            self._world.nudges.give(f"the change of {name} finds no room")
        self._waiting_since = {
            name: since for name, since in self._waiting_since.items() if name in acted and acted[name].waits
        }
        return acted

    def seconds_until_timeout(self) -> float | None:
        """Seconds until the first serving that waits, or stands still, has done so too long; None where none will."""
        now = time.monotonic()
        left = [since + self._timeout_seconds - now for since in self._waiting_since.values()]
        standing = self._standstills.seconds_until_due(now)
        left += [] if standing is None else [standing]
        return min((seconds for seconds in left if seconds > 0), default=None)

    async def _act(
        self,
        record: ServingRecord,
        choice: Choice | None,
        observed: Mapping[Key, DeploymentRecord],
        around: _Around,
    ) -> Acted:
        mode = mode_of(record)
        if mode is Mode.PAUSED:
            return _told("Unknown", Reason.PAUSED, "policy.mode is Paused: everything is left as it is")
        if choice is None or record.serving is None or choice.taken is Taken.HELD:
            return _told("False", Reason.HELD, "nothing is changed; the last good placement stays")
        if mode is Mode.RECOMMEND:
            return _told("Unknown", Reason.RECOMMENDED, "policy.mode is Recommend: the plan is only reported")
        try:
            check_templates(record.serving.spec)
        except InvalidInputError as error:
            return _told("False", Reason.TEMPLATE_INVALID, str(error))
        wanted = wanted_of(choice.placements, around.selectors)
        partial = choice.taken is Taken.PART
        try:
            done, left, astray = await self._carry_out(
                record, record.serving, wanted, observed, around, partial=partial
            )
        except ApiRefusedError as error:
            return Acted(applied=_refused(record, error))
        self._metrics.writes.labels("apply").inc(len(done.applied))
        self._metrics.writes.labels("delete").inc(len(done.deleted))
        desired = dict.fromkeys(observed, 0) | {each.key: each.replicas for each in wanted}
        others = [
            f"{around.scalers[key]} scales Deployment {key[1]}"
            for key in sorted(desired.keys() & around.scalers.keys())
        ]
        dip_percent = record.serving.spec.policy.max_dip_percent
        verdict = self._progress(record.full_name, done, len(wanted), others, dip_percent)
        if astray and verdict.status == "True":
            verdict = _verdict("False", Reason.ROUTE_MISSING, f"{astray}; {verdict.message}")
        if done.conflicts:
            message = f"taken back: {'; '.join(done.conflicts)}; {verdict.message}"
            verdict = replace(verdict, reason=Reason.TAKEN_BACK, message=message)
        return Acted(
            applied=verdict,
            writes=len(done.applied) + len(done.deleted),
            waits=bool(done.waiting or done.rolling) or partial,
            desired=desired,
            budgets=build_budgets(
                wanted,
                left,
                around.scalers.keys(),
                waited_too_long=(bool(done.waiting) or partial) and self._waited_too_long(record.full_name),
            ),
            progress=None
            if left.keys() & around.leaving.keys()
            else Progress(
                moves=bool(done.applied or done.deleted),
                late=self._waited_too_long(record.full_name),
                lacking=done.lacking,
                giving=done.giving,
                state={key: each for key, each in left.items() if key not in around.scalers},
                placed=around.placed,
            ),
        )

    async def _carry_out(
        self,
        record: ServingRecord,
        serving: LLMServing,
        wanted: Sequence[Wanted],
        observed: Mapping[Key, DeploymentRecord],
        around: _Around,
        *,
        partial: bool,
    ) -> tuple[Done, Mapping[Key, DeploymentRecord], str]:
        """Take the next steps, then bring weights up to what they left; also what is wrong with the route."""
        scaled = around.scalers.keys()
        done = await carry_out(
            self._api,
            serving,
            wanted,
            observed,
            self._surge_fraction,
            scaled,
            around.leaving,
            partial=partial,
            dip=serving.spec.policy.max_dip_percent / 100
            if self._standstills.stuck(record.full_name)
            else 0.0,
        )
        for written in done.applied:
            self._world.note_written(written)
        for deleted in done.deleted:
            self._world.note_deleted(deleted)
        gone = {each.key for each in done.deleted}
        running = {**observed, **{each.key: each for each in done.applied}}
        left = {key: each for key, each in running.items() if key not in gone}
        if done.waiting or done.rolling or partial:
            self._waiting_since.setdefault(record.full_name, time.monotonic())
        return done, left, await self._router.route(serving, wanted, left, changing=bool(done.waiting))

    async def _guarded(self, record: ServingRecord, acted: Acted) -> Acted:
        """Bring a serving's budgets up to what its steps left."""
        try:
            for budget in acted.budgets:
                await self._written.apply(BUDGET, budget)
        except ApiRefusedError as error:
            return replace(acted, applied=_refused(record, error))
        return acted

    def _waited_too_long(self, name: str) -> bool:
        now = time.monotonic()
        return now - self._waiting_since.get(name, now) >= self._timeout_seconds

    def _progress(
        self, name: str, done: Done, deployments: int, others: list[str], dip_percent: float
    ) -> Verdict:
        """How far a serving's change is; `others` tell who else scales its Deployments."""
        if not done.waiting and done.rolling:
            return self._under_way(
                name,
                f"waiting for the latest template to be rolled out by Deployment {', '.join(done.rolling)}",
            )
        if not done.waiting:
            placed = f"as planned; Deployments: {deployments}"
            if others:
                left = "its replicas are left alone, and ecoserve_desired_replicas tells the planned ones"
                return _verdict("True", Reason.SCALED_BY_OTHERS, f"{placed}; {', '.join(others)}: {left}")
            return _verdict("True", Reason.PLACED, placed)
        if self._standstills.stuck(name):
            return _without_room(done, dip_percent)
        awaited = (
            f"waiting for {', '.join(done.waiting)} to be ready; of what ran before stays what those that are ready "
            "can't carry"
        )
        return self._under_way(name, awaited)

    def _under_way(self, name: str, awaited: str) -> Verdict:
        if not self._waited_too_long(name):
            return _verdict("False", Reason.PROGRESSING, awaited)
        return _verdict(
            "False", Reason.PROGRESS_TIMEOUT, f"{awaited} (longer than {self._timeout_seconds:g} s)"
        )


def _without_room(done: Done, dip_percent: float) -> Verdict:
    found = (
        f"{', '.join(done.waiting)} found no room beside ready replicas that are needed, and no plan that keeps "
        "those serves the load"
    )
    if dip_percent > 0:
        allowed = f"while room is made, up to {dip_percent:g} % of the capacity needed may be missing (policy.maxDipPercent)"
        return _verdict("False", Reason.MAKING_ROOM, f"{found}; {allowed}")
    advice = "add nodes, or let policy.maxDipPercent of the capacity be missing while room is made"
    return _verdict("False", Reason.NO_ROOM, f"{found}; {advice}")


def _refused(record: ServingRecord, error: ApiRefusedError) -> Verdict:
    logger.warning("LLMServing %s: the API server refuses: %s", record.full_name, error)
    return _verdict("False", Reason.APPLY_REFUSED, f"the API server refuses: {error}")


def _verdict(status: Status, reason: Reason, message: str) -> Verdict:
    return Verdict(aspect=Aspect.APPLIED, status=status, reason=reason, message=message)


def _told(status: Status, reason: Reason, message: str) -> Acted:
    return Acted(applied=_verdict(status, reason, message))
