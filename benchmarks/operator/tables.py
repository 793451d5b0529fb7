"""What was measured against the targets, and tables of it."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

_SHOWN_PROCESSES = 7


def judged(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each target with what was measured, None where a phase failed, and whether it is met."""
    whole = [step for step in results["steps"] if "failed" not in step]
    moving = [step for step in whole if step["last_deployment_seconds"] is not None]
    raised = [seconds for step in whole if (seconds := step["last_raised_seconds"]) is not None]
    idle, restart, soak = (results.get(name, {}) for name in ("idle", "restart", "soak"))
    rows = (
        (
            "seconds from a step to the last Deployment raised (median)",
            median(raised) if raised else None,
            5.0,
        ),
        (
            "seconds to the last Deployment written, without the wait for pods (median)",
            median(map(_without_pods, moving)) if moving else None,
            5.0,
        ),
        (
            "the same with the wait for pods (median)",
            median(step["last_deployment_seconds"] for step in moving) if moving else None,
            5.0,
        ),
        ("share of a core when idle, children too", idle.get("core_share"), 0.05),
        ("resident MB without the solver's process", idle.get("resident_mb"), 300.0),
        ("seconds from a restart to the first plan", restart.get("plan_seconds"), 20.0),
        ("growth of memory in the soak, last third to the one before", soak.get("growth"), 0.05),
    )
    return [
        {"what": what, "value": value, "target": target, "met": value is not None and value <= target}
        for what, value, target in rows
    ]


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print steps, who used the CPU in them, and the targets."""
    table = Table(title="steps of intensity")
    for name in ("decision", "s raised", "s pods ready", "s written", "s told", "Deployments", "writes"):
        table.add_column(name)
    for step in results["steps"]:
        names = ("last_raised_seconds", "last_ready_seconds", "last_deployment_seconds", "applied_seconds")
        seconds = ["–" if step.get(name) is None else f"{step[name]:.1f}" for name in names]
        writes = ", ".join(f"{name} {count:.0f}" for name, count in step.get("writes", {}).items())
        table.add_row(step.get("decision", "failed"), *seconds, str(step["deployments_written"]), writes)
    console.print(table)
    used: dict[str, float] = {}
    for step in results["steps"]:
        for name, seconds in step.get("cpu_seconds", {}).items():
            used[name] = used.get(name, 0.0) + seconds
    table = Table(title=f"CPU seconds in these {len(results['steps'])} steps")
    for name in ("process", "seconds"):
        table.add_column(name)
    for name, seconds in sorted(used.items(), key=lambda item: -item[1])[:_SHOWN_PROCESSES]:
        table.add_row(name, f"{seconds:.1f}")
    console.print(table)
    table = Table(title="against the targets")
    for name in ("what", "measured", "at most", ""):
        table.add_column(name)
    for row in results["targets"]:
        measured = "–" if row["value"] is None else f"{row['value']:.3g}"
        table.add_row(row["what"], measured, f"{row['target']:g}", "met" if row["met"] else "missed")
    console.print(table)


def _without_pods(step: Mapping[str, Any]) -> float:
    """Seconds from a step to its last Deployment, less those between the last one raised and the last pod ready."""
    raised, ready = step["last_raised_seconds"], step["last_ready_seconds"]
    waited = max(0.0, ready - raised) if raised is not None and ready is not None else 0.0
    return float(step["last_deployment_seconds"] - waited)
