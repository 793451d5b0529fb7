"""What is measured, phase by phase: the first plan, steps of intensity, rest, a restart, and weeks in minutes."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from observe import Moments, Usage, Watcher, cpu_seconds, spent, until, writes_so_far
from scene import BASE_GRAMS, Scene

from ecoserve_devcluster import Process

_QUIET_SECONDS = 1.0
"""Nothing written for so long, and the plan carried out: a step is over."""
_LIMIT_SECONDS = 180.0
_CALM_SECONDS = 150.0
"""After a step the operator compares objectives beside its loop; it is idle when that is over, after so long at most."""
_CALM_CORE_SHARE = 0.1
_CALM_FOR_SECONDS = 10.0
"""Longer than the operator waits between two comparisons here."""
_WEEK_SECONDS = 7 * 86_400
_REST_SECONDS = 2.0
_REST_CORE_SHARE = 0.2
_SOAK_SAMPLES = 40
_SOAK_SERVINGS = 12
_SOAK_STEP_SECONDS = 2.0


@dataclass(slots=True)
class Bench:
    """A scene with the operator that runs in it, and who watches it."""

    scene: Scene
    watcher: Watcher
    operator: Process

    def _until(self, holds: Callable[[], bool], what: str) -> float:
        """Wait until something holds; raises TimeoutError, also where the operator has ended meanwhile."""

        def ended_or_holds() -> bool:
            if not self.operator.running:
                raise TimeoutError(f"{what}: the operator has ended ({self.operator.tail(1)})")
            return holds()

        return until(ended_or_holds, _LIMIT_SECONDS, what, lambda: self.watcher.problem)

    def _settled(self, grams_per_kwh: Mapping[str, float], what: str) -> float:
        """Wait until a plan for these intensities has been carried out; return when that was seen."""

        def settled() -> bool:
            quiet = time.monotonic() - self.watcher.peek().written
            return self.watcher.has_carried_out(grams_per_kwh) and quiet > _QUIET_SECONDS

        return self._until(settled, what)

    def _followed_up(self) -> None:
        """Wait until what follows a plan has been written, statuses among it, and the operator rests; comparisons may go on."""
        self._until(lambda: self.watcher.is_followed_up, "what follows a plan is written")
        self._until(
            lambda: self._share_of_core(_REST_SECONDS).get(self.operator.name, 0.0) < _REST_CORE_SHARE,
            "the operator rests",
        )

    def first(self, began: float) -> dict[str, Any]:
        """Return how long the first plan took from the operator's start, and how long until all of it was written."""
        planned = self._until(lambda: bool(self.watcher.planned_at), "the first plan")
        self._settled(BASE_GRAMS, "the first plan is carried out")
        self._followed_up()
        moments = self.watcher.take()
        return {
            "plan_seconds": planned - began,
            "last_deployment_seconds": moments.written - began,
            "deployments_written": moments.changes,
        }

    def step(self, grams_per_kwh: Mapping[str, float]) -> dict[str, Any]:
        """Step once; return when what happened, what was written, and who used how much of the CPU."""
        cluster = self.scene.cluster
        self.watcher.take()
        writes, cpu, began = writes_so_far(cluster), cpu_seconds(cluster), time.monotonic()
        self.scene.step(grams_per_kwh)
        try:
            over = self._settled(grams_per_kwh, "a step is carried out")
            self._followed_up()
        except TimeoutError as error:
            return {"failed": str(error), **_timed(self.watcher.take(), began)}
        return {
            **_timed(self.watcher.take(), began),
            "applied_seconds": over - began,
            "decision": self.watcher.decision,
            "writes": spent(writes, writes_so_far(cluster)),
            "cpu_seconds": spent(cpu, cpu_seconds(cluster)),
        }

    def idle(self, seconds: float) -> dict[str, Any]:
        """Return what the operator takes and writes while nothing moves, once what steps left to do is done."""
        cluster = self.scene.cluster
        until_calm = time.monotonic() + _CALM_SECONDS
        while (
            time.monotonic() < until_calm
            and _operators(self._share_of_core(_CALM_FOR_SECONDS)) > _CALM_CORE_SHARE
        ):
            pass
        writes, cpu, began = writes_so_far(cluster), cpu_seconds(cluster), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        shares = {name: used / took for name, used in spent(cpu, cpu_seconds(cluster)).items()}
        usage = Usage.of(self.operator.pid)
        return {
            "core_share": _operators(shares),
            "core_share_by_process": shares,
            "resident_mb": usage.resident_mb,
            "children_mb": usage.children_mb,
            "writes": spent(writes, writes_so_far(cluster)),
            "seconds": took,
        }

    def _share_of_core(self, seconds: float) -> dict[str, float]:
        before = cpu_seconds(self.scene.cluster)
        time.sleep(seconds)
        used = spent(before, cpu_seconds(self.scene.cluster))
        return {name: value / seconds for name, value in used.items()}

    def restart(self, grams_per_kwh: Mapping[str, float]) -> dict[str, Any]:
        """Stop the operator, as a rollout does, and start another as the grid moves; return seconds to its first plan."""
        cluster = self.scene.cluster
        self.operator.stop()
        self.scene.step(grams_per_kwh)
        cpu, began = cpu_seconds(cluster), time.monotonic()
        self.operator = self.scene.start_operator("operator-again")
        planned = self._until(lambda: self.watcher.plans_for(grams_per_kwh), "the first plan after a restart")
        return {"plan_seconds": planned - began, "cpu_seconds": spent(cpu, cpu_seconds(cluster))}

    def soak(self, minutes: float, advance: Callable[[float], None]) -> dict[str, Any]:
        """Play a week a minute, with load that goes through its day; return the operator's memory along the way."""
        self.operator.stop()
        self.scene.serve(_SOAK_SERVINGS, profile="azure-conversation-2024")
        self.operator = self.scene.start_operator(
            "operator-soak",
            "--replay-from=2026-01-05T00:00:00Z",
            f"--replay-speed={_WEEK_SECONDS / 60}",
        )
        chooser, plans = random.Random(1), self.watcher.plans
        seconds = minutes * 60
        began, resident = time.monotonic(), []
        while (passed := time.monotonic() - began) < seconds:
            self.scene.step({zone: round(chooser.uniform(50, 600), 1) for zone in BASE_GRAMS})
            time.sleep(_SOAK_STEP_SECONDS)
            resident.append(Usage.of(self.operator.pid).resident_mb)
            advance(time.monotonic() - began - passed)
        if self.watcher.plans == plans:
            raise TimeoutError(f"no plan was made in {seconds:g} s, so the memory tells nothing")
        third = len(resident) // 3
        early, late = median(resident[third : 2 * third]), median(resident[2 * third :])
        stride = math.ceil(len(resident) / _SOAK_SAMPLES)
        return {
            "weeks": minutes,
            "plans": self.watcher.plans - plans,
            "resident_mb": [round(value, 1) for value in resident[::stride]],
            "growth": late / early - 1.0,
        }


def _timed(moments: Moments, began: float) -> dict[str, Any]:
    """Seconds from a step to what was noted; None where nothing was."""
    seconds = {
        name: None if at == 0.0 else at - began
        for name, at in (("raised", moments.raised), ("ready", moments.ready), ("written", moments.written))
    }
    return {
        "last_raised_seconds": seconds["raised"],
        "last_ready_seconds": seconds["ready"],
        "last_deployment_seconds": seconds["written"],
        "deployments_written": moments.changes,
    }


def _operators(shares: Mapping[str, float]) -> float:
    return sum(share for name, share in shares.items() if name.startswith("operator"))
