"""Alert rules, as a file of Prometheus' own and, around it, as a PrometheusRule.

An alert is something that a person can do something about, and its description says what. Whatever heals by itself in a
few minutes is waited for first. Gauges of decisions come from the leader alone, so none is counted twice.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alert:
    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    remedy: str


_NOT_APPLIED = 'label_replace(ecoserve_condition{kind="LLMServing", type="Applied"} == 0, "serving", "$1", "name", "(.*)")'
"""An autoscaler of others may well keep fewer replicas than the plan wants: then Applied is True, and says so."""

_ALERTS = (
    _Alert(
        name="EcoServeNoLeader",
        expression="absent(ecoserve_leading) or sum(ecoserve_leading) == 0",
        lasting="2m",
        severity="critical",
        summary="No operator acts: placements stay as they are.",
        remedy="Look at the operator's pods and at Lease ecoserve-operator in its namespace.",
    ),
    _Alert(
        name="EcoServeTwoLeaders",
        expression="sum(ecoserve_leading) > 1",
        lasting="2m",
        severity="critical",
        summary="{{ $value }} operators act at once.",
        remedy="Look for a second installation with another --namespace, and uninstall one of them.",
    ),
    _Alert(
        name="EcoServePlannerFails",
        expression='increase(ecoserve_plans_total{outcome="failed"}[15m]) > 2',
        lasting="0m",
        severity="warning",
        summary="The planner fails again and again; the last good placement stays.",
        remedy="The operator's log says why: it takes longer than it may, or wants for memory.",
    ),
    _Alert(
        name="EcoServePassesFail",
        expression='sum by (instance, kind) (increase(ecoserve_errors_total{kind=~"api_.*"}[15m])) > 5',
        lasting="5m",
        severity="warning",
        summary="The API server refuses or does not answer ({{ $labels.kind }}).",
        remedy="The operator's log holds the refusal; compare its ClusterRole with the chart's.",
    ),
    _Alert(
        name="EcoServeWatchSilent",
        expression="ecoserve_watch_event_age_seconds > 900",
        lasting="5m",
        severity="warning",
        summary="The API server has told nothing for {{ $value | humanizeDuration }}.",
        remedy="Look at the connection to the API server; a restart of the pod watches anew.",
    ),
    _Alert(
        name="EcoServePlansSlow",
        expression="histogram_quantile(0.9, sum by (le) (rate(ecoserve_plan_seconds_bucket[30m]))) > 10",
        lasting="15m",
        severity="warning",
        summary="One plan in ten takes longer than {{ $value | humanizeDuration }}.",
        remedy="Give the operator more CPU: the solver runs in its container.",
    ),
    _Alert(
        name="EcoServeIntensityStale",
        expression="ecoserve_zone_intensity_stale == 1",
        lasting="1h",
        severity="warning",
        summary="The intensity of GridZone {{ $labels.zone }} is held or a fallback.",
        remedy="`kubectl describe gridzone {{ $labels.zone }}` says why; see docs/grids.md.",
    ),
    _Alert(
        name="EcoServeForecastsOff",
        expression="ecoserve_zone_forecast_error_ratio > 0.3",
        lasting="6h",
        severity="info",
        summary="Forecasts of GridZone {{ $labels.zone }} are off by {{ $value | humanizePercentage }}.",
        remedy="Work that waits for cleaner hours may wait in vain; look for a better source of forecasts.",
    ),
    _Alert(
        name="EcoServeLoadStale",
        expression="ecoserve_serving_load_stale == 1",
        lasting="30m",
        severity="warning",
        summary="The {{ $labels.class }} load of {{ $labels.serving }} is not measured any more.",
        remedy="Condition LoadDataFresh of the LLMServing says why and what is planned for; see docs/load.md.",
    ),
    _Alert(
        name="EcoServeLoadForecastsOff",
        expression="ecoserve_serving_load_forecast_error_ratio > 0.5",
        lasting="6h",
        severity="info",
        summary="Forecasts of the {{ $labels.class }} load of {{ $labels.serving }} are off by {{ $value | humanizePercentage }}.",
        remedy="Its days do not repeat: raise minReplicas, or give it a rate of its own in the spec.",
    ),
    _Alert(
        name="EcoServeLoadUnserved",
        expression="sum by (serving, reason) (ecoserve_serving_unserved_requests_per_second) > 0",
        lasting="10m",
        severity="critical",
        summary="{{ $value }} requests/s of {{ $labels.serving }} are not planned for ({{ $labels.reason }}).",
        remedy="Condition Feasible of the LLMServing names the slice, what refuses it and what would fit.",
    ),
    _Alert(
        name="EcoServeServingHeld",
        expression="ecoserve_serving_held == 1",
        lasting="15m",
        severity="warning",
        summary="{{ $labels.serving }} is held at its last good placement ({{ $labels.reason }}).",
        remedy="`kubectl ecoserve explain llmserving` says what is wrong.",
    ),
    _Alert(
        name="EcoServeReplicasMissing",
        expression="sum by (serving) (ecoserve_serving_planned_replicas) > on (serving) ecoserve_serving_ready_replicas "
        f"and on (serving) {_NOT_APPLIED}",
        lasting="15m",
        severity="warning",
        summary="{{ $labels.serving }} has fewer replicas ready than planned.",
        remedy="Condition Applied of the LLMServing names the Deployments that are waited for.",
    ),
    _Alert(
        name="EcoServeNodesUnknown",
        expression='ecoserve_condition{kind="PlacementPlan", type="NodesKnown"} == 0',
        lasting="1h",
        severity="info",
        summary="Ready nodes take no part in planning.",
        remedy="`kubectl describe placementplan current` names them and what to add.",
    ),
    _Alert(
        name="EcoServeExtenderAway",
        expression="absent(ecoserve_extender_cache_entries)",
        lasting="5m",
        severity="warning",
        summary="No extender answers: offline pods wait.",
        remedy="Look at the scheduler's pods; without a second scheduler silence this alert.",
    ),
    _Alert(
        name="EcoServeExtenderBehind",
        expression="ecoserve_extender_cache_age_seconds > 600",
        lasting="5m",
        severity="warning",
        summary="An extender has heard nothing of {{ $labels.resource }} for {{ $value | humanizeDuration }}.",
        remedy="Look at the connection to the API server, and at the extender's log.",
    ),
    _Alert(
        name="EcoServePlanNotHeard",
        expression="ecoserve_extender_plan_age_seconds > 900",
        lasting="5m",
        severity="warning",
        summary="An extender goes by a plan that the operator has not renewed for {{ $value | humanizeDuration }}.",
        remedy="Look at the operator; after six hours the plan counts no more, and pods are placed without it.",
    ),
    _Alert(
        name="EcoServePlanNotRead",
        expression="increase(ecoserve_extender_invalid_plans_total[15m]) > 0",
        lasting="10m",
        severity="warning",
        summary="An extender can't read the placement plan, and goes by the one before.",
        remedy="Operator, extender and CRDs must be of one version: see the upgrade in docs/install.md.",
    ),
    _Alert(
        name="EcoServeClockSkew",
        expression="abs(ecoserve_extender_clock_skew_seconds) > 60",
        lasting="15m",
        severity="warning",
        summary="The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} off the API server's.",
        remedy="Look at the time service of both machines: deadlines and intensities go by the clock.",
    ),
    _Alert(
        name="EcoServeUseNotRead",
        expression=(
            'increase(ecoserve_extender_use_readings_total{outcome="failed"}[15m]) > 0 unless on (instance, pod) '
            'increase(ecoserve_extender_use_readings_total{outcome="taken"}[15m]) > 0'
        ),
        lasting="15m",
        severity="warning",
        summary="An extender can't read the use of nodes: idle is what has few requests.",
        remedy="Its log says why. Install metrics-server, or give a Prometheus; `--use requests` if requests are to count.",
    ),
    _Alert(
        name="EcoServeExtenderRefuses",
        expression="sum by (reason) (increase(ecoserve_extender_refused_calls_total[15m])) > 5",
        lasting="0m",
        severity="warning",
        summary="The extender refuses calls of the scheduler ({{ $labels.reason }}).",
        remedy="`not_ready` heals by itself; for the others see the extender's part of docs/operate.md.",
    ),
)


def build_alert_rules() -> dict[str, Any]:
    """Return the rules, as Prometheus loads them from a file and as the spec of a PrometheusRule."""
    rules = [
        {
            "alert": each.name,
            "expr": each.expression,
            "for": each.lasting,
            "labels": {"severity": each.severity},
            "annotations": {"summary": each.summary, "description": each.remedy},
        }
        for each in _ALERTS
    ]
    return {"groups": [{"name": "ecoserve", "rules": rules}]}
