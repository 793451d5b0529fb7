"""The benchmark's figures as tables, and against the targets."""

from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from throughput import SECOND
from turns import ETCD, SCHEDULER

_PROCESSES = ("kube-apiserver", ETCD, SCHEDULER, SECOND, "extender", "noop")


def targets(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was measured of what is asked for, and whether it is met."""
    small = str(results["small_nodes"])

    def over(ratios: dict[str, list[float]], name: str) -> float:
        return median(ratios[name])

    rows = [
        (f"pods/s over doing nothing, {nodes} nodes", over(ratios, "ours/noop"), 0.9, True)
        for nodes, ratios in results["ratios"].items()
    ]
    if small in results["ratios"]:
        few = results["ratios"][small]
        rows += [
            (f"pods/s over no extender, {small} nodes", over(few, "ours/none"), 0.6, True),
            ("not opted in, patched scheduler", over(few, "patched/none, same speed"), 0.97, True),
        ]
    if "apart" in results:
        apart = over(results["apart"]["ratios"], "beside/none, same speed")
        rows.append(("not opted in, second scheduler, core of its own", apart, 0.97, True))
    if "latency" in results:
        ours, go = results["latency"]["ours"], results["latency"]["go"]
        rows += [
            (
                f"{what}, latency over Go's, {results['large_nodes']} candidates",
                ours[key] / go[key],
                1.0,
                False,
            )
            for what, key in (("offline pods", "both_ms"), ("online pods", "online_prioritize_ms"))
        ]
    if "restart" in results:
        restart = results["restart"]
        rows += [
            (f"resident MB, {restart['pods']} pods", restart["resident_mb"], 300.0, False),
            ("seconds to filled caches", restart["ready_seconds"], 10.0, False),
        ]
    return [
        {"what": what, "value": value, "target": target, "met": value >= target if least else value <= target}
        for what, value, target, least in rows
    ]


def show(results: dict[str, Any], console: Console) -> None:
    """Print all tables."""
    sets = {
        **{
            nodes: {key: results[key][nodes] for key in ("throughput", "ratios", "cpu_milliseconds")}
            for nodes in results["throughput"]
        },
        **({"apart": results["apart"]} if "apart" in results else {}),
    }
    console.print(_throughput({name: of["throughput"] for name, of in sets.items()}))
    console.print(_ratios({name: of["ratios"] for name, of in sets.items()}))
    console.print(_cpu({name: of["cpu_milliseconds"] for name, of in sets.items()}))
    console.print(_latency(results))
    console.print(_against(results["targets"]))


def _throughput(sets: dict[str, dict[str, float]]) -> Table:
    table = Table(title="pods per second, median of turns")
    names = ("none", "noop", "ours", "patched", "beside", "same core")
    table.add_column("nodes", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for nodes, rates in sets.items():
        table.add_row(nodes, *(f"{rates[name]:.0f}" if name in rates else "" for name in names))
    return table


def _ratios(sets: dict[str, dict[str, list[float]]]) -> Table:
    table = Table(title="the same over that of another variant, by round")
    for name in ("nodes", "variants", "least", "median", "most"):
        table.add_column(name, justify="left" if name == "variants" else "right")
    for nodes, ratios in sets.items():
        for name, found in ratios.items():
            row = (min(found), median(found), max(found))
            table.add_row(nodes, name, *(f"{ratio:.2f}" for ratio in row))
    return table


def _cpu(sets: dict[str, dict[str, dict[str, float]]]) -> Table:
    table = Table(title="CPU milliseconds per pod, median of turns")
    table.add_column("nodes", justify="right")
    table.add_column("variant")
    for name in _PROCESSES:
        table.add_column(name, justify="right")
    for nodes, variants in sets.items():
        for variant, spent in variants.items():
            table.add_row(nodes, variant, *(f"{spent.get(name, 0.0):.1f}" for name in _PROCESSES))
    return table


def _latency(results: dict[str, Any]) -> Table:
    table = Table(title=f"milliseconds per call with {results['large_nodes']:,} candidates, median")
    for name in ("extender", "filter", "prioritize", "both", "both, p99", "online", "online, p99"):
        table.add_column(name, justify="right")
    for name, figures in results.get("latency", {}).items():
        table.add_row(name, *(f"{value:.2f}" for value in figures.values()))
    return table


def _against(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="against the targets")
    for name in ("what", "measured", "target", ""):
        table.add_column(name)
    for row in rows:
        met = "met" if row["met"] else "missed"
        table.add_row(row["what"], f"{row['value']:.2f}", f"{row['target']:g}", met)
    return table
