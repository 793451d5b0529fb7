"""Files of benchmark tools, in the shape those tools write, and what is wrong with others."""

import json
from pathlib import Path

import pytest

from ecoserve.errors import InvalidInputError
from ecoserve.measuring.results import parse_result, read_result

VLLM = {
    "date": "20260601-120000",
    "backend": "openai",
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "num_prompts": 100,
    "request_rate": "inf",
    "burstiness": 1.0,
    "max_concurrency": 16,
    "duration": 25.0,
    "completed": 100,
    "failed": 0,
    "total_input_tokens": 102400,
    "total_output_tokens": 12800,
    "request_throughput": 4.0,
    "output_throughput": 512.0,
    "total_token_throughput": 4608.0,
    "mean_ttft_ms": 250.0,
    "median_ttft_ms": 240.0,
    "p99_ttft_ms": 700.0,
    "mean_tpot_ms": 25.0,
    "median_tpot_ms": 24.8,
    "p99_tpot_ms": 31.0,
    "mean_itl_ms": 25.0,
}
LLAMA_ROW = {
    "n_kv_max": 2048, "n_batch": 2048, "flash_attn": 0, "is_pp_shared": 0, "n_threads": 112, "pp": 128, "tg": 64,
    "pl": 4, "n_kv": 768, "t_pp": 2.0, "speed_pp": 256.0, "t_tg": 8.0, "speed_tg": 32.0, "t": 10.0, "speed": 76.8,
}  # fmt: skip
LLAMA_TABLE = """main: n_kv_max = 2048, n_batch = 2048
|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
|   128 |     64 |    4 |    768 |    2.000 |   256.00 |    8.000 |    32.00 |   10.000 |    76.80 |
|   128 |     64 |    8 |   1536 |    4.000 |   256.00 |    9.600 |    53.33 |   13.600 |   112.94 |

llama_perf_context_print: total time = 23600 ms
"""


def summary(mean: float) -> dict[str, object]:
    return {"successful": {"mean": mean, "median": mean, "count": 40}, "errored": {"mean": 0.0, "count": 0}}


def guidellm(**changes: object) -> dict[str, object]:
    metrics = {
        "requests_per_second": summary(4.0),
        "request_concurrency": summary(15.5),
        "prompt_token_count": summary(1024.0),
        "output_token_count": summary(128.0),
        "time_to_first_token_ms": summary(250.0),
        "time_per_output_token_ms": summary(27.0),
        "inter_token_latency_ms": summary(25.0),
        "output_tokens_per_second": summary(512.0),
    } | changes
    return {
        "metadata": {"version": 2},
        "config": {"backend": {"model": "meta-llama/Llama-3.1-8B-Instruct"}},
        "benchmarks": [{"type_": "generative_benchmark", "metrics": metrics}],
    }


def test_vllm_bench_serve():
    result = parse_result(json.dumps(VLLM, indent=1))
    (point,) = result.points
    assert (result.tool, result.model) == ("vllm bench serve", "meta-llama/Llama-3.1-8B-Instruct")
    assert (point.input_tokens, point.output_tokens) == (1024, 128)
    assert (point.ttft_seconds, point.tpot_seconds, point.output_tokens_per_second) == (0.25, 0.025, 512)
    assert point.batch == pytest.approx(4.0 * (0.25 + 127 * 0.025))  # Little's law, below the limit of 16
    assert not point.phases_apart


def test_without_a_limit_the_number_in_flight_follows_from_the_rate():
    result = parse_result(json.dumps(VLLM | {"max_concurrency": None, "request_rate": 4.0}))
    assert result.points[0].batch == pytest.approx(13.7)
    limited = parse_result(json.dumps(VLLM | {"max_concurrency": 8}))
    assert limited.points[0].batch == 8


def test_several_runs_of_vllm_in_one_file():
    lines = "\n".join(json.dumps(VLLM | {"max_concurrency": limit}) for limit in (4, 8))
    assert [point.batch for point in parse_result(lines).points] == [4, 8]
    as_list = json.dumps([VLLM, VLLM | {"model_id": "Qwen/Qwen3-8B"}])
    assert parse_result(as_list).model is None


def test_guidellm():
    result = parse_result(json.dumps(guidellm()))
    (point,) = result.points
    assert (result.tool, result.model) == ("GuideLLM", "meta-llama/Llama-3.1-8B-Instruct")
    assert (point.batch, point.input_tokens, point.output_tokens) == (15.5, 1024, 128)
    assert (point.ttft_seconds, point.tpot_seconds) == (0.25, 0.025)  # its TPOT counts the first token


def test_guidellm_of_an_older_version_names_its_model_elsewhere():
    report = guidellm()
    del report["config"]
    assert parse_result(json.dumps(report)).model is None
    report["args"] = {"model": "Qwen/Qwen3-8B"}
    assert parse_result(json.dumps(report)).model == "Qwen/Qwen3-8B"


@pytest.mark.parametrize(
    "text", [LLAMA_TABLE, json.dumps(LLAMA_ROW), f"load: done\n{json.dumps(LLAMA_ROW)}\n"]
)
def test_llama_batched_bench(text):
    result = parse_result(text)
    point = result.points[0]
    assert (result.tool, result.model) == ("llama-batched-bench", None)
    assert (point.input_tokens, point.output_tokens, point.batch) == (128, 64, 4)
    assert (point.ttft_seconds, point.tpot_seconds) == (2.0, 0.125)
    assert point.output_tokens_per_second == pytest.approx(25.6)
    assert point.phases_apart
    assert len(result.points) == (2 if text is LLAMA_TABLE else 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "vllm bench serve or GuideLLM"),
        ("<html>", "vllm bench serve or GuideLLM"),
        ("[1, 2]", "vllm bench serve or GuideLLM"),
        ("{" * 100_000, "vllm bench serve or GuideLLM"),
        (json.dumps(VLLM | {"completed": 0}), "completed: 0 is not accepted"),
        (json.dumps(VLLM | {"failed": 60}), "failed"),
        (json.dumps(VLLM | {"mean_tpot_ms": None}), "mean_tpot_ms: None"),
        (json.dumps(VLLM | {"mean_tpot_ms": float("nan")}), "mean_tpot_ms: nan"),
        (json.dumps(VLLM | {"duration": "soon"}), "duration: 'soon'"),
        (json.dumps(VLLM | {"total_output_tokens": 100}), "2 tokens or more"),
        (json.dumps({"benchmarks": []}), "benchmarks"),
        (json.dumps({"benchmarks": [{}]}), r"benchmarks\[0\]\.metrics"),
        (json.dumps(guidellm(request_concurrency={"successful": None})), "request_concurrency"),
        (json.dumps(guidellm(inter_token_latency_ms=summary(0.0))), r"inter_token_latency_ms\.mean"),
        (json.dumps(LLAMA_ROW | {"t_tg": 0}), "t_tg: 0"),
        (json.dumps(LLAMA_ROW | {"is_pp_shared": 1}), "is_pp_shared"),
        (LLAMA_TABLE.replace("8.000", "fast"), "t_tg: 'fast'"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(InvalidInputError, match=message):
        parse_result(text)


def test_a_file_is_named(tmp_path: Path):
    path = tmp_path / "result.json"
    with pytest.raises(InvalidInputError, match=r"result\.json"):
        read_result(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="text file"):
        read_result(path)
    path.write_text(json.dumps(VLLM | {"completed": None}))
    with pytest.raises(InvalidInputError, match=r"result\.json: completed"):
        read_result(path)
