"""A dashboard of Grafana: carbon first, then decisions, grids and load, and the health of the parts.

Each panel is a title, a unit of Grafana's, and queries with their legends; all else is the same for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_AGAINST = "ignoring (placement) group_left"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    description: str = ""


_ROWS: tuple[tuple[str, tuple[_Panel, ...]], ...] = (
    (
        "Carbon",
        (
            _Panel(
                title="gCO2e/h, planned and by other objectives",
                unit="none",
                queries=(("ecoserve_grams_per_hour", "{{placement}}"),),
                description="What each objective would emit at the intensity of the moment.",
            ),
            _Panel(
                title="kg CO2e saved in the time shown",
                unit="none",
                kind="stat",
                queries=(
                    (
                        '(sum by (placement) (increase(ecoserve_emitted_grams_total{placement!="planned"}[$__range])) '
                        f"- {_AGAINST} "
                        'sum by (placement) (increase(ecoserve_emitted_grams_total{placement="planned"}[$__range]))) / 1000',
                        "against {{placement}}",
                    ),
                ),
            ),
            _Panel(
                title="gCO2e/h of servings",
                unit="none",
                queries=(("sum by (serving) (ecoserve_serving_grams_per_hour)", "{{serving}}"),),
            ),
            _Panel(
                title="gCO2e/h by part, and idle",
                unit="none",
                queries=(
                    ("sum by (part) (ecoserve_serving_grams_per_hour)", "{{part}}"),
                    ("sum(ecoserve_pool_idle_grams_per_hour)", "idle power of nodes that are on"),
                ),
            ),
            _Panel(
                title="kg CO2e of each serving in the time shown",
                unit="none",
                kind="stat",
                queries=(
                    (
                        'sum by (serving) (increase(ecoserve_serving_emitted_grams_total{placement="planned"}[$__range])) '
                        "/ 1000",
                        "{{serving}}",
                    ),
                ),
            ),
            _Panel(
                title="Nodes on",
                unit="none",
                queries=(("ecoserve_pool_nodes_on", "{{pool}}"),),
            ),
        ),
    ),
    (
        "Decisions",
        (
            _Panel(
                title="What decisions meant for servings",
                unit="none",
                queries=(
                    (
                        "sum by (reason) (increase(ecoserve_serving_decisions_total[$__rate_interval]))",
                        "{{reason}}",
                    ),
                ),
            ),
            _Panel(
                title="Plans by outcome",
                unit="none",
                queries=(
                    ("sum by (outcome) (increase(ecoserve_plans_total[$__rate_interval]))", "{{outcome}}"),
                ),
            ),
            _Panel(
                title="From a change to its plan, and to the last Deployment",
                unit="s",
                queries=tuple(
                    (
                        f"histogram_quantile({quantile}, sum by (le) (rate(ecoserve_{step}_seconds_bucket[$__rate_interval])))",
                        f"{step}, p{quantile * 100:g}",
                    )
                    for step in ("plan", "apply")
                    for quantile in (0.5, 0.9)
                ),
            ),
            _Panel(
                title="Replicas planned and ready",
                unit="none",
                queries=(
                    ("sum by (serving) (ecoserve_serving_planned_replicas)", "{{serving}} planned"),
                    ("ecoserve_serving_ready_replicas", "{{serving}} ready"),
                    ("sum by (serving) (ecoserve_desired_replicas)", "{{serving}} to be"),
                ),
            ),
            _Panel(
                title="Deployments written",
                unit="none",
                queries=(
                    (
                        "sum by (verb) (increase(ecoserve_deployment_writes_total[$__rate_interval]))",
                        "{{verb}}",
                    ),
                ),
            ),
            _Panel(
                title="Gap between plan and bound",
                unit="percentunit",
                queries=(("ecoserve_plan_gap_ratio", "gap"),),
                description="The bound itself is ecoserve_plan_lower_bound, in the objective's unit.",
            ),
        ),
    ),
    (
        "Grids and load",
        (
            _Panel(
                title="Carbon intensity, gCO2e/kWh",
                unit="none",
                queries=(("ecoserve_zone_intensity_grams_per_kwh", "{{zone}}"),),
            ),
            _Panel(
                title="Age of intensities and measured load",
                unit="s",
                queries=(
                    ("time() - ecoserve_zone_intensity_observed_timestamp_seconds", "{{zone}}"),
                    ("time() - ecoserve_serving_load_observed_timestamp_seconds", "{{serving}} {{class}}"),
                ),
            ),
            _Panel(
                title="Error of forecasts",
                unit="percentunit",
                queries=(
                    ("ecoserve_zone_forecast_error_ratio", "intensity, {{zone}}"),
                    ("ecoserve_serving_load_forecast_error_ratio", "load, {{serving}} {{class}}"),
                ),
            ),
            _Panel(
                title="Load planned for and measured, requests/s",
                unit="none",
                queries=(
                    ("ecoserve_serving_requests_per_second", "{{serving}} {{class}}"),
                    ("ecoserve_serving_measured_requests_per_second", "{{serving}} {{class}} measured"),
                    ("ecoserve_serving_expected_requests_per_second", "{{serving}} {{class}} expected"),
                ),
            ),
            _Panel(
                title="Load not planned for, requests/s",
                unit="none",
                queries=(("ecoserve_serving_unserved_requests_per_second", "{{serving}} {{reason}}"),),
            ),
            _Panel(
                title="Requests that wait",
                unit="none",
                queries=(
                    ("ecoserve_offline_backlog_requests", "{{serving}} offline, deferred"),
                    ("ecoserve_serving_waiting_requests", "{{serving}} {{class}}, measured"),
                ),
            ),
        ),
    ),
    (
        "Health",
        (
            _Panel(
                title="Leaders",
                unit="none",
                kind="stat",
                queries=(("sum(ecoserve_leading)", "operators that act"),),
            ),
            _Panel(
                title="Stale signals and held servings",
                unit="none",
                queries=(
                    ("sum(ecoserve_zone_intensity_stale)", "zones with a stale intensity"),
                    ("sum(ecoserve_serving_load_stale)", "loads that are not measured any more"),
                    ("sum by (reason) (ecoserve_serving_held)", "servings held: {{reason}}"),
                ),
            ),
            _Panel(
                title="Errors",
                unit="none",
                queries=(
                    ("sum by (kind) (increase(ecoserve_errors_total[$__rate_interval]))", "{{kind}}"),
                    (
                        "sum by (reason) (increase(ecoserve_extender_refused_calls_total[$__rate_interval]))",
                        "extender: {{reason}}",
                    ),
                ),
            ),
            _Panel(
                title="Silence of watches",
                unit="s",
                queries=(
                    ("ecoserve_watch_event_age_seconds", "operator {{instance}}"),
                    ("ecoserve_extender_cache_age_seconds", "extender {{instance}} {{resource}}"),
                ),
            ),
            _Panel(
                title="Answers of the extender, p99",
                unit="s",
                queries=(
                    (
                        "histogram_quantile(0.99, sum by (le, verb) "
                        "(rate(ecoserve_extender_request_seconds_bucket[$__rate_interval])))",
                        "{{verb}}",
                    ),
                ),
            ),
            _Panel(
                title="Memory of the operator, without the solver",
                unit="bytes",
                queries=(
                    ("process_resident_memory_bytes and on (instance) ecoserve_leading", "{{instance}}"),
                ),
            ),
        ),
    ),
)


def build_dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it; it asks for the Prometheus to read."""
    return {
        "uid": "ecoserve",
        "title": "EcoServe",
        "tags": ["ecoserve", "carbon"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in _ROWS:
        number += 1
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        top += 1
        for index, panel in enumerate(panels):
            number += 1
            left, down = _WIDTH * (index % 3), top + _HEIGHT * (index // 3)
            yield _panel(panel, number, {"x": left, "y": down, "w": _WIDTH, "h": _HEIGHT})
        top += _HEIGHT * -(-len(panels) // 3)


def _panel(panel: _Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": panel.kind == "stat",
            }
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }
