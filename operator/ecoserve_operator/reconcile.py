"""One pass: readings → snapshot → plan → validate → act → report."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from math import inf

from ecoserve.api.llmserving import Mode
from ecoserve.catalog import Catalog
from ecoserve_operator.acting.actor import Acted, Actor
from ecoserve_operator.clock import Clock
from ecoserve_operator.planning.comparer import Comparer
from ecoserve_operator.planning.decision import Taken, missing_pool
from ecoserve_operator.planning.deferral import Deferral
from ecoserve_operator.planning.emission import emissions
from ecoserve_operator.planning.planner import Decision, Planner
from ecoserve_operator.planning.snapshot import View, mode_of, view_world
from ecoserve_operator.reporting.accounts import WHOLE, Accounts
from ecoserve_operator.reporting.accuracy import IntensityAccuracy
from ecoserve_operator.reporting.allowance import Allowance
from ecoserve_operator.reporting.load import load_verdicts
from ecoserve_operator.reporting.metrics import Metrics
from ecoserve_operator.reporting.outcomes import shortened
from ecoserve_operator.reporting.reporter import Reporter
from ecoserve_operator.reporting.status import ServingFacts
from ecoserve_operator.reporting.verdicts import carbon_data_verdict, zone_verdict
from ecoserve_operator.settings import Settings
from ecoserve_operator.side_by_side import side_by_side
from ecoserve_operator.signals.grid import GridSignals, taken_zones
from ecoserve_operator.signals.intensity import Reading
from ecoserve_operator.signals.load.signals import LoadSignals
from ecoserve_operator.watch.records import DeploymentRecord, ServingRecord, ZoneRecord
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

_PLAN_RETRY_SECONDS = 5.0
_FOLLOW_UP_SECONDS = 8.0
"""So long at most a plan's reasons, instances and comparisons, which keep processors busy, wait until its replicas are ready: a
little less than statuses do, which tell the reasons."""
_APPLYING = "Applying"
_LEAST_WAIT_SECONDS = 0.05  # a step of simulated time may be due at once, again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """The parts that a pass brings together; each keeps its own memory."""

    world: World
    clock: Clock
    settings: Settings
    catalog: Catalog
    signals: GridSignals
    loads: LoadSignals
    planner: Planner
    deferral: Deferral
    comparer: Comparer
    actor: Actor
    reporter: Reporter
    accounts: Accounts
    accuracy: IntensityAccuracy
    metrics: Metrics

    async def reconcile(self, reasons: Sequence[str], since: float) -> float:
        """Make one pass; `since` is when its first reason came up. Returns seconds until the next is due."""
        now = self.clock.now()
        zones = list(self.world.zones.values())
        statuses = {
            name: item.body for (namespace, name), item in self.world.reported.items() if namespace is None
        }
        readings = self.signals.readings(zones, now, statuses)
        records = list(self.world.servings.values())
        self._read_loads(now)
        view = self.deferral.ordered(self._view(readings, now), now)
        view = replace(view, snapshot=replace(view.snapshot, stays=self.actor.stays(view.snapshot)))
        decision, is_new = await self.planner.decide(view, self._running())
        self.deferral.note(decision, now)
        planned_at = time.monotonic()
        if is_new and not self._still_valid(decision, readings, now):
            return 0.0
        await self.reporter.report_plan(decision, self.comparer.latest)
        selectors = {pool.name: pool.selector for pool in decision.snapshot.pools}
        acted = await self.actor.act(decision.choices, selectors)
        await self.reporter.report_past_plans()
        if is_new:
            self.metrics.plan_seconds.observe(planned_at - since)
            self.metrics.plans.labels("failed" if decision.failure else decision.route.name.lower()).inc()
        if decision.failure:
            self.metrics.errors.labels("planner").inc()
        causes = decision.changes if is_new and decision.changes else reasons
        self._log(causes, decision, acted, planned_at - since if is_new else None, time.monotonic() - since)
        self._count(decision, readings, now)
        phase = _phase(decision, acted)
        await self._follow_up(decision, phase)
        await self.reporter.report_plan_status(
            phase, decision, self.comparer.latest, self.accounts.account(WHOLE)
        )
        allowance = Allowance(
            unfinished=phase == _APPLYING or not decision.explained, comparing=self.comparer.pending
        )
        told = self._unchanged(records)
        await self._report(told, decision, is_new, acted, readings, now, allowance)
        await self._report_zones(zones, readings)
        self._show(decision, readings, now)
        if allowance.behind:
            self.world.nudges.give("statuses that wait")
        self.planner.note_carried_out()
        until_due = min(self._seconds_until_due(now, readings, decision), allowance.until_due)
        return min(until_due, _PLAN_RETRY_SECONDS) if decision.failure else until_due

    async def _follow_up(self, decision: Decision, phase: str) -> None:
        """Have a decision explained, exported and compared, once: when it has been carried out or takes long to be.

        What came of that is written by a later pass.
        """
        if self.planner.exported is not None:
            await self.reporter.report_instances(self.planner.exported)
            self.planner.exported = None
        wanted = self.planner.follow_up_since is not None and not decision.failure
        if wanted and (phase != _APPLYING or self._until_followed_up() <= 0):
            self.comparer.want(decision)
            self.planner.follow_up()

    def _until_followed_up(self) -> float:
        """Seconds until the last decision is followed up though it is not carried out; never where it has been."""
        since = self.planner.follow_up_since
        return inf if since is None else since + _FOLLOW_UP_SECONDS - time.monotonic()

    def _read_loads(self, now: datetime) -> None:
        records = list(self.world.servings.values())
        reported = self.world.reported
        statuses = {
            record.full_name: reported[record.key].body for record in records if record.key in reported
        }
        self.loads.read(records, now, statuses)

    def _view(self, readings: Mapping[str, Reading], now: datetime) -> View:
        return view_world(
            self.world, readings, self.catalog, now, self.settings.load_step_seconds, self.loads.latest
        )

    def _running(self) -> dict[str, list[DeploymentRecord]]:
        """The Deployments of each serving, by its full name."""
        owned = self.world.deployments_by_owner()
        return {
            record.full_name: list(owned.get(record.uid, {}).values())
            for record in self.world.servings.values()
        }

    def _still_valid(self, decision: Decision, readings: Mapping[str, Reading], now: datetime) -> bool:
        """Check a plan against the world as it is after planning: a pool may have gone meanwhile."""
        gone = missing_pool(decision.choices.values(), self._view(readings, now).snapshot)
        if gone is not None:
            logger.info("pool %s has gone while it was planned for; planning again", gone)
            self.world.nudges.give(f"pool {gone} has gone")
        return gone is None

    def _unchanged(self, records: Iterable[ServingRecord]) -> list[ServingRecord]:
        """The servings that are as they were when the pass began.

        Of a spec that has changed since, a status would say that it was planned and carried out (`observedGeneration`), and it
        was not: whoever waits for that would go on too early. The change has asked for the next pass, which tells of it.
        """
        servings = self.world.servings
        return [
            now
            for record in records
            if (now := servings.get(record.key)) is not None
            and (now.uid, now.generation) == (record.uid, record.generation)
        ]

    async def _report(
        self,
        records: Iterable[ServingRecord],
        decision: Decision,
        is_new: bool,
        acted: Mapping[str, Acted],
        readings: Mapping[str, Reading],
        now: datetime,
        allowance: Allowance,
    ) -> None:
        stale = {
            zone: readings[record.name].message
            for record in self.world.zones.values()
            if record.grid is not None and record.name in readings and readings[record.name].stale
            for zone in record.grid.spec.zones or (record.name,)
        }
        running = self._running()
        told = []
        for record in self.reporter.longest_waiting(records):
            name = record.full_name
            choice, loads = decision.choices.get(name), self.loads.latest.get(name, {})
            facts = ServingFacts(
                record=record,
                choice=choice,
                decision=decision,
                fresh=carbon_data_verdict(choice, decision.snapshot, stale),
                applied=acted[name].applied,
                load=load_verdicts(loads, now),
                loads=loads,
                deployments=tuple(running[name]),
                comparison=self.comparer.latest,
                order=self.deferral.orders.get(name),
                account=self.accounts.account(name),
            )
            told.append(partial(self.reporter.report_serving, facts, allowance))
        for outcome in await side_by_side(told):
            if is_new:
                self.metrics.decisions.labels(outcome).inc()

    async def _report_zones(self, zones: Iterable[ZoneRecord], readings: Mapping[str, Reading]) -> None:
        """Tell of zones as they were when they were read: a spec that has changed since is read by the next pass."""
        taken = taken_zones(zones)
        for record in zones:
            if record.name in readings:
                reading = readings[record.name]
                verdict = zone_verdict(reading, taken.get(record.name, ""))
                await self.reporter.report_zone(record, reading, verdict, self.accuracy.of(record.name))

    def _show(self, decision: Decision, readings: Mapping[str, Reading], now: datetime) -> None:
        """Bring metrics up to date."""
        running = self._running()
        ready = {
            record.full_name: sum(min(each.ready, each.replicas) for each in running[record.full_name])
            for record in self.world.servings.values()
            if mode_of(record) is Mode.ENFORCE
        }
        forecasts = {name: self.accuracy.of(name) for name in readings}
        orders = self.deferral.orders
        self.metrics.show(decision, readings, forecasts, orders, ready, self.accounts.rates)
        self.metrics.show_loads(self.loads.latest, now)
        self.metrics.show_statuses(self.world.reported, self.reporter.plan_status)

    def _count(self, decision: Decision, readings: Mapping[str, Reading], now: datetime) -> None:
        """Bring accounts and the accuracy of forecasts up to date."""
        self.accounts.restore(WHOLE, self.reporter.plan_status)
        for key, record in self.world.servings.items():
            if key in self.world.reported:
                self.accounts.restore(record.full_name, self.world.reported[key].body)
        records = self.world.servings.values()
        enforced = {record.full_name for record in records if mode_of(record) is Mode.ENFORCE}
        choices = (choice for choice in decision.choices.values() if choice.serving in enforced)
        placements = [item for choice in choices for item in choice.placements]
        compared = self.comparer.latest
        self.accounts.accrue(
            now,
            emissions(placements, decision.snapshot),
            compared.emissions if compared is not None else {},
            {zone.name: zone.carbon_intensity for zone in decision.snapshot.zones},
        )
        for gone in self.accounts.names - {record.full_name for record in records}:
            self.accounts.forget(gone)
            self.metrics.forget_serving(gone)
        self.accuracy.note(now, readings, self.signals.forecasts(self.world.zones.values()))

    def _seconds_until_due(self, now: datetime, readings: Mapping[str, Reading], decision: Decision) -> float:
        """Seconds until intensity or load change by themselves, a wait runs out, or all is looked at anyway."""
        step = self.settings.load_step_seconds
        next_load = now + timedelta(seconds=step - now.timestamp() % step)
        steps = [reading.next_step for reading in readings.values() if reading.next_step is not None]
        dues = (self.deferral.due(), self.loads.due(), decision.review_at)
        steps += [moment for moment in dues if moment is not None]
        until = [self.clock.real_seconds_until(moment) for moment in (next_load, *steps)]
        waiting = self.actor.seconds_until_timeout()
        until += [] if waiting is None else [waiting]
        until += [] if decision.failure else [self._until_followed_up()]
        return max(_LEAST_WAIT_SECONDS, min(self.settings.resync_seconds, *until))

    def _log(
        self,
        reasons: Sequence[str],
        decision: Decision,
        acted: Mapping[str, Acted],
        planned_seconds: float | None,
        applied_seconds: float,
    ) -> None:
        """One line per decision or per pass that wrote something."""
        writes = sum(result.writes for result in acted.values())
        if writes:
            self.metrics.apply_seconds.observe(applied_seconds)
        if planned_seconds is None and not writes:
            return
        how = f"{decision.route.name.lower()} in {planned_seconds or 0:.2f} s, "
        planned = "" if planned_seconds is None else how
        grams = sum(item.grams_per_hour for choice in decision.choices.values() for item in choice.placements)
        logger.info(
            "%s: %sapplied in %.2f s, %d Deployments written, %.0f gCO2e/h",
            *(shortened(reasons), planned, applied_seconds, writes, grams),
        )


def _phase(decision: Decision, acted: Mapping[str, Acted]) -> str:
    """How far the plan has been carried out: Held, Applying or Applied."""
    if any(choice.taken is Taken.HELD for choice in decision.choices.values()):
        return "Held"
    waits = any(result.applied.status == "False" for result in acted.values())
    return _APPLYING if waits else "Applied"
