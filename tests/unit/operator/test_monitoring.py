"""Alerts, dashboard and documentation speak of the metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from ecoserve_extender.metrics import Metrics as ExtenderMetrics
from ecoserve_operator.monitoring.alerts import build_alert_rules
from ecoserve_operator.monitoring.dashboard import build_dashboard
from ecoserve_operator.reporting.metrics import Metrics

DOCS = Path(__file__).parents[3] / "docs" / "operate.md"
NAME = re.compile(r"\becoserve_[a-z0-9_]+")


def families() -> dict[str, str]:
    """The type of every metric of operator and extender, by the name that it is exposed with."""
    extender = ExtenderMetrics()
    extender.watch_caches({}, {}, plan_age=float, clock_skew=float)
    found = {}
    for registry in (Metrics().registry, extender.registry):
        for family in registry.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = family.type
    return found


def series() -> set[str]:
    parts = ("", "_bucket", "_sum", "_count")
    known = families()
    return {
        f"{name}{part}" for name, kind in known.items() for part in (parts if kind == "histogram" else ("",))
    }


def queries() -> list[str]:
    panels = build_dashboard()["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [*shown, *(rule["expr"] for rule in build_alert_rules()["groups"][0]["rules"])]


@pytest.mark.parametrize("query", queries())
def test_a_query_names_metrics_that_exist(query: str) -> None:
    named = set(NAME.findall(query))
    assert named
    assert named <= series()


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = set(NAME.findall(json.dumps(build_dashboard()))) | set(NAME.findall(" ".join(queries())))
    own = {name for name in families() if name.startswith("ecoserve_")}
    assert {name for name in own if not {name, f"{name}_bucket"} & shown} == set()


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in build_dashboard()["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken
        assert all(column < 24 for column, _ in cells)
        taken |= cells
    ids = [panel["id"] for panel in build_dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def not_in(there: Any, given: Any, path: str) -> Iterator[str]:
    """Fields and values of what was given that are not in what came of it."""
    if isinstance(given, dict) and isinstance(there, dict):
        for name, child in given.items():
            yield from not_in(there.get(name, KeyError), child, f"{path}.{name}")
    elif isinstance(given, list) and isinstance(there, list) and len(given) == len(there):
        for place, child in enumerate(given):
            yield from not_in(there[place], child, f"{path}[{place}]")
    elif given != there:
        yield path


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    """Read by the types that Grafana publishes, which leave out what they do not know, and written again."""
    register_default_plugins()
    given = build_dashboard()
    there = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(given)))
    assert list(not_in(there, given, "dashboard")) == []
    panels = [panel for panel in given["panels"] if panel["type"] != "row"]
    known = {unit for unit in vars(units).values() if isinstance(unit, str)}
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in panels} <= known


def test_the_documentation_lists_each_metric_with_its_type() -> None:
    listed = dict(re.findall(r"^\| `(ecoserve_\w+)` \| (\w+) \|", DOCS.read_text(), flags=re.MULTILINE))
    assert listed == {name: kind for name, kind in families().items() if name.startswith("ecoserve_")}


def test_every_alert_is_documented() -> None:
    text = DOCS.read_text()
    assert [
        rule["alert"] for rule in build_alert_rules()["groups"][0]["rules"] if rule["alert"] not in text
    ] == []
