"""A dashboard of Grafana: carbon first, then decisions, grids and load, and the health of the parts.

Each panel is a title, a unit of Grafana's, and queries with their legends; all else is the same for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_AGAINST = "ignoring (placement) group_left"


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "none"
    kind: str = "timeseries"
    description: str = ""


def _panel(title: str, *queries: tuple[str, str], **others: str) -> _Panel:
    return _Panel(title, queries, **others)


def _counted(counter: str, label: str, of: str = "") -> tuple[str, str]:
    """What a counter gained, by a label; `of` stands before the label in the legend."""
    return f"sum by ({label}) (increase({counter}[$__rate_interval]))", f"{of}{{{{{label}}}}}"


_ROWS: tuple[tuple[str, tuple[_Panel, ...]], ...] = (
    (
        "Carbon",
        (
            _panel(
                "gCO2e/h, planned and by other objectives",
                ("ecoserve_grams_per_hour", "{{placement}}"),
                description="What each objective would emit at the intensity of the moment.",
            ),
            _panel(
                "kg CO2e saved in the time shown",
                (
                    '(sum by (placement) (increase(ecoserve_emitted_grams_total{placement!="planned"}[$__range])) '
                    f"- {_AGAINST} "
                    'sum by (placement) (increase(ecoserve_emitted_grams_total{placement="planned"}[$__range]))) / 1000',
                    "against {{placement}}",
                ),
                kind="stat",
            ),
            _panel(
                "gCO2e/h of servings", ("sum by (serving) (ecoserve_serving_grams_per_hour)", "{{serving}}")
            ),
            _panel(
                "gCO2e/h by part, and idle",
                ("sum by (part) (ecoserve_serving_grams_per_hour)", "{{part}}"),
                ("sum(ecoserve_pool_idle_grams_per_hour)", "idle power of nodes that are on"),
            ),
            _panel(
                "kg CO2e of each serving in the time shown",
                (
                    'sum by (serving) (increase(ecoserve_serving_emitted_grams_total{placement="planned"}[$__range])) '
                    "/ 1000",
                    "{{serving}}",
                ),
                kind="stat",
            ),
            _panel(
                "gCO2e/h that each lever saves",
                ("ecoserve_lever_saved_grams_per_hour", "{{lever}}"),
                description="How much more the best plan without it would emit.",
            ),
        ),
    ),
    (
        "Decisions",
        (
            _panel(
                "What decisions meant for servings", _counted("ecoserve_serving_decisions_total", "reason")
            ),
            _panel(
                "Plans by outcome, and Deployments written",
                _counted("ecoserve_plans_total", "outcome"),
                _counted("ecoserve_deployment_writes_total", "verb", "Deployments: "),
            ),
            _panel(
                "From a change to its plan, and to the last Deployment",
                *(
                    (
                        f"histogram_quantile({quantile}, sum by (le) (rate(ecoserve_{step}_seconds_bucket[$__rate_interval])))",
                        f"{step}, p{quantile * 100:g}",
                    )
                    for step in ("plan", "apply")
                    for quantile in (0.5, 0.9)
                ),
                unit="s",
            ),
            _panel(
                "Replicas planned and ready",
                ("sum by (serving) (ecoserve_serving_planned_replicas)", "{{serving}} planned"),
                ("ecoserve_serving_ready_replicas", "{{serving}} ready"),
                ("sum by (serving) (ecoserve_desired_replicas)", "{{serving}} to be"),
            ),
            _panel("Nodes on", ("ecoserve_pool_nodes_on", "{{pool}}")),
            _panel(
                "Gap between plan and bound",
                ("ecoserve_plan_gap_ratio", "gap"),
                unit="percentunit",
                description="The bound itself is ecoserve_plan_lower_bound, in the objective's unit.",
            ),
        ),
    ),
    (
        "Grids and load",
        (
            _panel("Carbon intensity, gCO2e/kWh", ("ecoserve_zone_intensity_grams_per_kwh", "{{zone}}")),
            _panel(
                "Age of intensities and measured load",
                ("time() - ecoserve_zone_intensity_observed_timestamp_seconds", "{{zone}}"),
                ("time() - ecoserve_serving_load_observed_timestamp_seconds", "{{serving}} {{class}}"),
                unit="s",
            ),
            _panel(
                "Error of forecasts",
                ("ecoserve_zone_forecast_error_ratio", "intensity, {{zone}}"),
                ("ecoserve_serving_load_forecast_error_ratio", "load, {{serving}} {{class}}"),
                unit="percentunit",
            ),
            _panel(
                "Load planned for and measured, requests/s",
                ("ecoserve_serving_requests_per_second", "{{serving}} {{class}}"),
                ("ecoserve_serving_measured_requests_per_second", "{{serving}} {{class}} measured"),
                ("ecoserve_serving_expected_requests_per_second", "{{serving}} {{class}} expected"),
            ),
            _panel(
                "Load not planned for, requests/s",
                ("ecoserve_serving_unserved_requests_per_second", "{{serving}} {{reason}}"),
            ),
            _panel(
                "Requests that wait",
                ("ecoserve_offline_backlog_requests", "{{serving}} offline, deferred"),
                ("ecoserve_serving_waiting_requests", "{{serving}} {{class}}, measured"),
            ),
        ),
    ),
    (
        "Pods and the extender",
        (
            _panel(
                "Answers of the extender, p99",
                (
                    "histogram_quantile(0.99, sum by (le, verb) "
                    "(rate(ecoserve_extender_request_seconds_bucket[$__rate_interval])))",
                    "{{verb}}",
                ),
                unit="s",
            ),
            _panel(
                "Pods asked about",
                (
                    "sum by (class, verdict) (increase(ecoserve_extender_verdicts_total[$__rate_interval]))",
                    "{{class}}: {{verdict}}",
                ),
                _counted("ecoserve_extender_refused_calls_total", "reason", "calls refused: "),
            ),
            _panel("Nodes refused, by reason", _counted("ecoserve_extender_rejections_total", "reason")),
            _panel(
                "What rankings had to do without", _counted("ecoserve_extender_fallbacks_total", "reason")
            ),
            _panel(
                "Offline pods asked to leave, decisions and calls back",
                _counted("ecoserve_extender_evictions_total", "outcome", "leave: "),
                _counted("ecoserve_extender_decisions_total", "outcome", "decision "),
                _counted("ecoserve_extender_retries_total", "outcome", "call back "),
                _counted("ecoserve_extender_use_readings_total", "outcome", "readings of use "),
            ),
            _panel(
                "Age of the plan, and clocks",
                ("ecoserve_extender_plan_age_seconds", "plan, {{instance}}"),
                ("ecoserve_extender_clock_skew_seconds", "clock ahead, {{instance}}"),
                unit="s",
            ),
        ),
    ),
    (
        "Health",
        (
            _panel("Leaders", ("sum(ecoserve_leading)", "operators that act"), kind="stat"),
            _panel(
                "Conditions that do not hold",
                ("count by (kind, type) (ecoserve_condition == 0)", "{{type}} of {{kind}}s"),
                description="Whose they are: ecoserve_condition == 0. What is wrong: kubectl describe.",
            ),
            _panel(
                "Stale signals and held servings",
                ("sum(ecoserve_zone_intensity_stale)", "zones with a stale intensity"),
                ("sum(ecoserve_serving_load_stale)", "loads that are not measured any more"),
                ("sum by (reason) (ecoserve_serving_held)", "servings held: {{reason}}"),
            ),
            _panel(
                "Errors",
                _counted("ecoserve_errors_total", "kind"),
                _counted("ecoserve_extender_watch_restarts_total", "resource", "extender, watch of "),
                (
                    "sum(increase(ecoserve_extender_invalid_plans_total[$__rate_interval]))",
                    "extender: plans that can't be read",
                ),
            ),
            _panel(
                "Silence of watches",
                ("ecoserve_watch_event_age_seconds", "operator {{instance}}"),
                ("ecoserve_extender_cache_age_seconds", "extender {{instance}} {{resource}}"),
                unit="s",
            ),
            _panel(
                "Memory of the operator, without the solver",
                ("process_resident_memory_bytes and on (instance) ecoserve_leading", "{{instance}}"),
                unit="bytes",
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
            yield _drawn(panel, number, {"x": left, "y": down, "w": _WIDTH, "h": _HEIGHT})
        top += _HEIGHT * -(-len(panels) // 3)


def _drawn(panel: _Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
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
