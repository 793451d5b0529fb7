"""The end of the day: what kubectl says, where the offline pods went and why, what it saved, how quick it was."""

import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from statistics import fmean

import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.api.llmserving import Objective
from ecoserve.simulation.day import Day
from ecoserve_demo.observation import Observation, Observer
from ecoserve_demo.scenario import NAMESPACE
from ecoserve_demo.stage import RunningOperator, Stage
from ecoserve_devcluster import Cluster, Process

_DECISIONS_SHOWN = 8


def show(
    console: Console,
    cluster: Cluster,
    stage: Stage,
    operator: RunningOperator,
    live: Mapping[datetime, float],
    day: Day,
) -> None:
    """Print everything there is to say at the end."""
    console.rule("what kubectl says")
    for command in (("get", "llmservings", "-A"), ("get", "placementplans"), ("get", "gridzones")):
        console.print(f"[bold]$ kubectl {' '.join(command)}[/]")
        console.print(cluster.kubectl(*command), soft_wrap=True, markup=False, highlight=False)
    console.rule("pods by node")
    console.print(_pods_by_node(cluster))
    with cluster.client() as client:
        seen = Observer(client).observe()
    console.rule("offline pods: where and why")
    console.print(_decisions(seen))
    console.rule("a day against other objectives")
    console.print(_day_table(live, day))
    console.rule("how quick, how large")
    console.print(_speed(stage, operator))


def _pods_by_node(cluster: Cluster) -> Table:
    pods = cluster.read(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    nodes = cluster.read("/api/v1/nodes")["items"]
    table = Table(expand=True)
    for column in ("node", "zone", "pods"):
        table.add_column(column)
    for node in nodes:
        name, node_labels = node["metadata"]["name"], node["metadata"]["labels"]
        here = Counter(
            pod["metadata"]["labels"].get("app") or pod["metadata"]["labels"].get("ecoserve.dev/serving", "?")
            for pod in pods
            if pod["spec"].get("nodeName") == name and pod["status"].get("phase") in ("Pending", "Running")
        )
        text = ", ".join(f"{count} {what}" for what, count in sorted(here.items())) or "[dim]none[/]"
        table.add_row(name, node_labels["topology.kubernetes.io/zone"], text)
    return table


def _decisions(seen: Observation) -> Table:
    table = Table(expand=True, caption=f"{len(seen.offline)} pods; one row for each kind of decision")
    for column in ("pods", "node", "runner-up", "runner-up's gCO2e/h, more", "plan"):
        table.add_column(column, overflow="fold")

    def essence(pod_decision: dict[str, object]) -> tuple[str, str, str, str]:
        difference = pod_decision.get("gramsPerHourDifference")
        return (
            str(pod_decision.get("node", "")),
            str(pod_decision.get("runnerUp", "")),
            f"{difference:.2f}" if isinstance(difference, int | float) else "",
            str(pod_decision.get("plan", "")),
        )

    rows = sorted(essence(dict(pod.decision)) for pod in seen.offline if pod.decision)
    grouped = [(key, len(list(group))) for key, group in groupby(rows)]
    for key, count in sorted(grouped, key=lambda item: -item[1])[:_DECISIONS_SHOWN]:
        table.add_row(str(count), *key)
    return table


def _speed(stage: Stage, operator: RunningOperator) -> Table:
    table = Table(expand=True)
    for column, justify in (("what", "left"), ("figure", "right"), ("to reach", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    operator_samples = _samples(operator.metrics_url)
    extender_samples = _samples(f"{stage.extender_url}/metrics")
    table.add_row(
        "a change is planned", _within(operator_samples, "ecoserve_plan_seconds", 2.0), "within 2 s"
    )
    table.add_row(
        "a change is applied", _within(operator_samples, "ecoserve_apply_seconds", 5.0), "within 5 s"
    )
    per_pod = sum(
        _mean(extender_samples, "ecoserve_extender_request_seconds", verb=verb)
        for verb in ("filter", "prioritize")
    )
    table.add_row("filter and prioritize, per pod", f"mean {per_pod * 1000:.2f} ms", "under 5 ms")
    table.add_row("operator, resident (its solver apart)", _resident(operator.process), "under 300 MB")
    table.add_row("extender, resident", _resident(stage.extender), "under 150 MB")
    return table


def _samples(url: str) -> list[Sample]:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own programs on loopback
        text = response.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _sum(samples: Sequence[Sample], name: str, **labels: str) -> float:
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def _mean(samples: Sequence[Sample], name: str, **labels: str) -> float:
    count = _sum(samples, f"{name}_count", **labels)
    return _sum(samples, f"{name}_sum", **labels) / count if count else 0.0


def _within(samples: Sequence[Sample], name: str, limit_seconds: float) -> str:
    count = _sum(samples, f"{name}_count")
    within = _sum(samples, f"{name}_bucket", le=str(limit_seconds))
    return f"{within:.0f} of {count:.0f} within {limit_seconds:.0f} s, mean {_mean(samples, name):.2f} s"


def _resident(process: Process) -> str:
    return f"{psutil.Process(process.pid).memory_info().rss / 1e6:.0f} MB"


def _day_table(live: Mapping[datetime, float], day: Day) -> Table:
    planned: dict[datetime, list[float]] = {}
    for moment, grams in live.items():
        planned.setdefault(moment.replace(minute=0, second=0), []).append(grams)
    by_hour: list[float] = []
    for hour in day.hours:
        made = planned.get(hour.start.replace(minute=0))
        by_hour.append(fmean(made) if made else by_hour[-1] if by_hour else 0.0)
    zones = sorted(day.hours[0].intensities)
    table = Table(
        box=box.SIMPLE_HEAD,
        caption="gCO2e per hour, operational and embodied. live: the operator's plans of the hour, their mean, or the plan before; "
        "the others: each objective planned anew for the middle of every hour on the same nodes, servings and grid; where an objective is indifferent, "
        "the greener plan counts as its own.",
    )
    table.add_column("hour", no_wrap=True)
    for column in (*(f"{zone}\ng/kWh" for zone in zones), "requests/s", "live", *Objective):
        table.add_column(column, justify="right")
    for hour, followed in zip(day.hours, by_hour, strict=True):
        table.add_row(
            f"{hour.start.replace(minute=0):%H:%M}",
            *(f"{hour.intensities[zone]:.0f}" for zone in zones),
            f"{hour.requests_per_second:.1f}",
            f"{followed:,.0f}",
            *(f"{hour.outcomes[objective].grams:,.0f}" for objective in Objective),
        )
    table.add_section()
    blank = [""] * len(zones)
    table.add_row(
        "grams in all", *blank, "", f"{sum(by_hour):,.0f}",
        *(f"{day.total_grams(objective):,.0f}" for objective in Objective),
    )  # fmt: skip
    table.add_row(
        "carbon saves", *blank, "", "",
        *(f"{day.saved_share(against=objective):.1%}" for objective in Objective),
    )  # fmt: skip
    return table
