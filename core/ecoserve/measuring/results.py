"""Results of benchmark tools as points: which tool wrote a file is told by what is in it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecoserve.catalog import MeasuredPoint
from ecoserve.errors import InvalidInputError

_FAILED_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """What one file of a benchmark tool holds; `model` where the tool wrote it down."""

    tool: str
    model: str | None
    points: tuple[MeasuredPoint, ...]


def read_result(path: Path) -> BenchmarkResult:
    """Read a file of `vllm bench serve`, GuideLLM or llama-batched-bench.

    Raises InvalidInputError naming the file, and the field where one is missing or makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("result file", str(path), f"a text file that can be read ({error})") from None
    try:
        return parse_result(text)
    except InvalidInputError as error:
        raise error.within(str(path)) from None


def parse_result(text: str) -> BenchmarkResult:
    """Read the text of a result; raises InvalidInputError naming the field that is missing or makes no sense."""
    documents = _documents(text)
    first = documents[0] if documents else {}
    if "benchmarks" in first:
        return _guidellm(first)
    if "total_input_tokens" in first:
        models = {str(item["model_id"]) for item in documents if item.get("model_id")}
        return BenchmarkResult(
            tool="vllm bench serve",
            model=models.pop() if len(models) == 1 else None,
            points=tuple(_vllm(item) for item in documents),
        )
    rows = [item for item in documents if "pl" in item] or _markdown_rows(text)
    if rows:
        points = tuple(_llama(row) for row in rows)
        return BenchmarkResult(tool="llama-batched-bench", model=None, points=points)
    accepted = "the JSON of vllm bench serve or GuideLLM, or the JSON lines or table of llama-batched-bench"
    raise InvalidInputError("result", text[:40].strip(), accepted)


def _documents(text: str) -> list[Mapping[str, Any]]:
    """Return the JSON objects of a text: one document, a list, or one a line among other lines."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        found = []
        for line in text.splitlines():
            if line.lstrip().startswith("{"):
                try:
                    found.append(json.loads(line))
                except (ValueError, RecursionError):
                    continue
        return [item for item in found if isinstance(item, dict)]
    return [item for item in (whole if isinstance(whole, list) else [whole]) if isinstance(item, dict)]


def _vllm(result: Mapping[str, Any]) -> MeasuredPoint:
    """One run of `vllm bench serve --save-result`: sums and means over its completed requests."""
    completed = _number(result, "completed")
    failed = _number(result, "failed") if result.get("failed") is not None else 0.0
    if failed > _FAILED_SHARE * completed:
        accepted = (
            f"at most {_FAILED_SHARE:.0%} of the {completed:g} that completed: the load was another one"
        )
        raise InvalidInputError("failed", failed, accepted)
    output_tokens = _number(result, "total_output_tokens") / completed
    if output_tokens < 2:
        raise InvalidInputError(
            "total_output_tokens", output_tokens, "answers of 2 tokens or more, for a TPOT"
        )
    ttft, tpot = _number(result, "mean_ttft_ms") / 1000, _number(result, "mean_tpot_ms") / 1000
    # By Little's law; the tool's own concurrency is a limit that ramps up and down do not reach.
    in_flight = completed * (ttft + (output_tokens - 1) * tpot) / _number(result, "duration")
    limit = result.get("max_concurrency")
    return MeasuredPoint(
        input_tokens=_number(result, "total_input_tokens") / completed,
        output_tokens=output_tokens,
        batch=min(in_flight, float(limit)) if isinstance(limit, int | float) and limit > 0 else in_flight,
        ttft_seconds=ttft,
        tpot_seconds=tpot,
        output_tokens_per_second=_number(result, "output_throughput"),
    )


def _guidellm(report: Mapping[str, Any]) -> BenchmarkResult:
    benchmarks = report["benchmarks"]
    if not isinstance(benchmarks, list) or not benchmarks:
        raise InvalidInputError("benchmarks", benchmarks, "a list of benchmarks")
    points = []
    for index, benchmark in enumerate(benchmarks):
        metrics = benchmark.get("metrics") if isinstance(benchmark, Mapping) else None
        if not isinstance(metrics, Mapping):
            raise InvalidInputError(f"benchmarks[{index}].metrics", metrics, "an object")
        try:
            points.append(_guidellm_point(metrics))
        except InvalidInputError as error:
            raise error.within(f"benchmarks[{index}].metrics") from None
    return BenchmarkResult(tool="GuideLLM", model=_guidellm_model(report), points=tuple(points))


def _guidellm_point(metrics: Mapping[str, Any]) -> MeasuredPoint:
    """One benchmark of a GuideLLM report: means over its successful requests.

    Its inter-token latency leaves the first token out, as TPOT does here; its time per output token doesn't.
    """

    def mean(name: str) -> float:
        summary = metrics.get(name)
        successful = summary.get("successful") if isinstance(summary, Mapping) else None
        if not isinstance(successful, Mapping):
            raise InvalidInputError(name, summary, "a summary of successful requests")
        return _number(successful, "mean", name)

    return MeasuredPoint(
        input_tokens=mean("prompt_token_count"),
        output_tokens=mean("output_token_count"),
        batch=mean("request_concurrency"),
        ttft_seconds=mean("time_to_first_token_ms") / 1000,
        tpot_seconds=mean("inter_token_latency_ms") / 1000,
        output_tokens_per_second=mean("output_tokens_per_second"),
    )


def _guidellm_model(report: Mapping[str, Any]) -> str | None:
    """Return the model where one of the versions' places names it."""
    places = [report.get("config"), report.get("args")]
    places += [item for place in list(places) if isinstance(place, Mapping) for item in place.values()]
    for place in places:
        if isinstance(place, Mapping) and isinstance(place.get("model"), str):
            return str(place["model"])
    return None


def _llama(row: Mapping[str, Any]) -> MeasuredPoint:
    """One line of llama-batched-bench: `pl` sequences read together (t_pp), then written together (t_tg)."""
    sequences, written = _number(row, "pl"), _number(row, "tg")
    decode = _number(row, "t_tg")
    if row.get("is_pp_shared"):
        accepted = "0: with a shared prompt one prefill stands for all sequences"
        raise InvalidInputError("is_pp_shared", row["is_pp_shared"], accepted)
    return MeasuredPoint(
        input_tokens=_number(row, "pp"),
        output_tokens=written,
        batch=sequences,
        ttft_seconds=_number(row, "t_pp"),
        tpot_seconds=decode / written,
        output_tokens_per_second=sequences * written / (decode + _number(row, "t_pp")),
        phases_apart=True,
    )


_COLUMNS = {"PP": "pp", "TG": "tg", "B": "pl", "T_PP s": "t_pp", "T_TG s": "t_tg"}


def _markdown_rows(text: str) -> list[dict[str, Any]]:
    """Return the rows of llama-batched-bench's table, which stands among the lines of its log."""
    header: list[str] = []
    rows: list[dict[str, Any]] = []
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if "PP" in cells and "T_TG s" in cells:
            header = cells
        elif header and len(cells) == len(header) and not set(cells[0]) <= set("-:"):
            values = dict(zip(header, cells, strict=True))
            rows.append({field: values.get(column) for column, field in _COLUMNS.items()})
    return rows


def _number(values: Mapping[str, Any], name: str, where: str = "") -> float:
    field = f"{where}.{name}" if where else name
    value = values.get(name)
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0 or (number == 0 and name != "failed"):
        raise InvalidInputError(field, value, "a number above zero")
    return number
