"""The metrics of engines, and the queries of a stream's load that they become.

Names were looked up in each project's source and documents: vLLM `vllm/v1/metrics/loggers.py`, SGLang
`metrics_collector.py` and its page "Production Metrics" (length histograms need `--collect-tokens-histogram`), TGI its
page "Metrics" and `router/src/server.rs`, llm-d's inference scheduler `pkg/epp/metrics` (names with the prefix
`llm_d_epp_` since it took the endpoint picker over from the Gateway API Inference Extension, whose old names it still
publishes). TGI and llm-d count requests as they come; vLLM and SGLang as they end, so what comes is what ends and what
the numbers of waiting and running requests grow by.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ecoserve.api.load import Engine, PrometheusLoad
from ecoserve.errors import InvalidInputError

MEAN = "mean"
"""Value of `le` under which a query of lengths tells their mean beside the buckets."""

LENGTH_WINDOWS = 12
"""Lengths are taken over this many windows: an hour by default, as they change slowly and scatter widely."""
_GROWTH_POINTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetrics:
    """Metric names, of which the first that exists counts; `comes` or `ends` are counters of requests."""

    comes: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    waiting: tuple[str, ...]
    running: tuple[str, ...]
    input_tokens: tuple[str, ...]
    output_tokens: tuple[str, ...]
    queues: bool = True
    """Whether the metric of waiting requests is always there."""


METRICS: Mapping[Engine, EngineMetrics] = {
    Engine.VLLM: EngineMetrics(
        ends=("vllm:request_success_total",),
        waiting=("vllm:num_requests_waiting",),
        running=("vllm:num_requests_running",),
        input_tokens=("vllm:request_prompt_tokens",),
        output_tokens=("vllm:request_generation_tokens",),
    ),
    Engine.SGLANG: EngineMetrics(
        ends=("sglang:num_requests_total",),
        waiting=("sglang:num_queue_reqs",),
        running=("sglang:num_running_reqs",),
        input_tokens=("sglang:prompt_tokens_histogram",),
        output_tokens=("sglang:generation_tokens_histogram",),
    ),
    Engine.TGI: EngineMetrics(
        comes=("tgi_request_count",),
        waiting=("tgi_queue_size",),
        running=("tgi_batch_current_size",),
        input_tokens=("tgi_request_input_length",),
        output_tokens=("tgi_request_generated_tokens",),
    ),
    Engine.LLM_D: EngineMetrics(
        comes=("llm_d_epp_request_total", "inference_objective_request_total"),
        waiting=("llm_d_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size"),
        running=("llm_d_epp_request_running", "inference_objective_running_requests"),
        input_tokens=("llm_d_epp_request_input_tokens", "inference_objective_input_tokens"),
        output_tokens=("llm_d_epp_request_output_tokens", "inference_objective_output_tokens"),
        queues=False,  # flow control can be off
    ),
}

_TRACES = {
    Engine.SGLANG: ("sglang",),
    Engine.TGI: ("text-generation-inference", "text-generation-launcher"),
    Engine.VLLM: ("vllm",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadQuestion:
    """What is asked of which Prometheus; streams that say the same ask once. Empty queries are not asked.

    A rate of one's own is not mixed with an engine's queue, which need not be there. `requests` tells requests/s now, `hourly` the mean of the hour before its time, `running` whether there is anybody to
    tell; `waiting` counts requests in a queue.
    """

    url: str
    account: str
    interval_seconds: float
    window_seconds: float
    requests: str
    hourly: str
    waiting: str
    running: str
    input_tokens: str
    output_tokens: str


def question_of(load: PrometheusLoad, selector: Mapping[str, str], engine: Engine, url: str) -> LoadQuestion:
    """Return what is asked for a stream; `url` is the operator's default address."""
    metrics, own = METRICS[engine], load.queries
    matched = _matchers(load.selector or selector)
    queue = _first(metrics.waiting, lambda name: f"sum({name}{matched})")
    running = _first(metrics.running, lambda name: f"sum({name}{matched})")
    if not metrics.queues:
        queue = f"({queue}) or 0 * ({running})"
    waiting = own.waiting or ("" if own.requests else queue)

    def arrivals(window_seconds: int) -> str:
        window = f"[{window_seconds}s]"
        if metrics.comes:
            return _first(metrics.comes, lambda name: f"sum(rate({name}{matched}{window}))")
        ended = _first(metrics.ends, lambda name: f"sum(rate({name}{matched}{window}))")
        step = max(1, window_seconds // _GROWTH_POINTS)
        growth = f"deriv((sum({waiting}) + sum({running}))[{window_seconds}s:{step}s])"
        return f"clamp_min(({ended}) + ({growth} or 0 * ({ended})), 0)"

    lengths = f"[{LENGTH_WINDOWS * load.window_seconds}s]"
    return LoadQuestion(
        url="" if load.account else (load.url or url).rstrip("/"),
        account=load.account or "",
        interval_seconds=float(load.interval_seconds),
        window_seconds=float(load.window_seconds),
        requests=own.requests or arrivals(load.window_seconds),
        hourly=f"avg_over_time(({own.requests})[1h:5m])" if own.requests else arrivals(3600),
        waiting=waiting,
        running="" if own.requests else running,
        input_tokens=own.input_tokens or _lengths(metrics.input_tokens, matched, lengths),
        output_tokens=own.output_tokens or _lengths(metrics.output_tokens, matched, lengths),
    )


def default_selector(engine: Engine, namespace: str, name: str, model: str) -> dict[str, str]:
    """The labels by which a serving's series are known: those of its pods or, at a gateway, of its model."""
    if engine is Engine.LLM_D:
        return {"namespace": namespace, "model_name": model}
    return {"namespace": namespace, "ecoserve_dev_serving": name}


def engine_of(template: Mapping[str, object] | None) -> Engine:
    """Tell the engine by image, command and arguments of a template's containers; raises InvalidInputError where they don't."""
    words = " ".join(_words(template or {})).lower()
    for engine, traces in _TRACES.items():
        if any(trace in words for trace in traces):
            return engine
    accepted = f"one of {', '.join(Engine)}, as neither image nor command of the template tells which it is"
    raise InvalidInputError("prometheus.engine", None, accepted)


def _words(template: Mapping[str, object]) -> list[str]:
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    found: list[str] = []
    for container in containers if isinstance(containers, Sequence) else ():
        if isinstance(container, Mapping):
            found.append(str(container.get("image", "")))
            for field in ("command", "args"):
                listed = container.get(field)
                found += map(str, listed) if isinstance(listed, Sequence) else ()
    return found


def _matchers(labels: Mapping[str, str]) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))
    return f"{{{written}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _first(names: Sequence[str], query: Callable[[str], str]) -> str:
    return " or ".join(query(name) for name in names)


def _lengths(names: Sequence[str], matched: str, window: str) -> str:
    """Rates of buckets by `le`, and beside them the mean."""
    buckets = _first(names, lambda name: f"sum by (le) (rate({name}_bucket{matched}{window}))")
    means = _first(
        names,
        lambda name: f"sum(rate({name}_sum{matched}{window})) / sum(rate({name}_count{matched}{window}))",
    )
    return f'{buckets} or label_replace({means}, "le", "{MEAN}", "", "")'
