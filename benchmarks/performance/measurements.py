"""Published measurements as points of operation: what was run, and what came out.

Prompt lengths of ML.ENERGY's rows are not published; they are inferred from the gap between the median time between
tokens and the throughput. aiconfigurator's rows that rest on a roofline (SOL) are left out: they are no measurements. The
others are sums of measured operators: they know the devices and no host.
"""

import csv
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecoserve.performance import OperatingPoint

TPOT, RATE, JOULES, PREFILL = (
    "tpot_seconds", "output_tokens_per_second", "joules_per_output_token", "prefill_seconds",
)  # fmt: skip
QUANTITIES = (TPOT, RATE, JOULES, PREFILL)
PROMPT_TOKENS = {"lm-arena-chat": 200.0, "gpqa": 220.0, "sourcegraph-fim": 1450.0}
_ACCELERATORS = {
    "H100": "h100-sxm", "B200": "b200-sxm", "h100-80gb": "h100-sxm", "a100-80gb": "a100-80-sxm",
    "h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200-sxm", "a100_sxm": "a100-80-sxm", "l40s": "l40s",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One published row; `values` by the name of Prediction's field.

    `devices_alone`: it has no host's time in it. `devices_add`: its software added up on the devices what they exchange,
    though their switches could have.
    """

    source: str
    family: str
    point: OperatingPoint
    values: dict[str, float]
    disturbed: bool = False
    devices_alone: bool = False
    devices_add: bool = False


def load(folder: Path) -> list[Measured]:
    """All rows of the folder that the model is made for."""
    sources = (_ml_energy, _aiconfigurator, _splitwise, _llama_cpp)
    return [row for source in sources for row in source(folder)]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _ml_energy(folder: Path) -> Iterator[Measured]:
    for row in _rows(folder / "mlenergy_llm.csv"):
        name = row["model_id"]
        point = OperatingPoint(
            model=name,
            device=_ACCELERATORS[row["gpu_model"]],
            gpus=int(row["num_gpus"]),
            tensor_parallel=int(row["tp"]),
            precision={"bfloat16": "bf16"}.get(row["weight_precision"], row["weight_precision"]),
            input_tokens=PROMPT_TOKENS[row["task"]],
            output_tokens=float(row["avg_output_len"]),
            batch=float(row["avg_batch_size"]),
        )
        values = {
            TPOT: float(row["median_itl_ms"]) / 1000,
            RATE: float(row["output_throughput_tokens_per_sec"]),
            JOULES: float(row["energy_per_token_joules"]),
        }
        yield Measured(
            source="ML.ENERGY", family=_family(name), point=point, values=values, disturbed=_disturbed(row)
        )


def _disturbed(row: dict[str, str]) -> bool:
    """Whether memory held the batch under its limit (preemption), or a busy host slowed the run several times."""
    short_of_memory = float(row["avg_batch_size"]) < 0.97 * float(row["max_num_seqs"])
    return short_of_memory or ("Nemotron" in row["model_id"] and row["gpu_model"] == "B200")


def _aiconfigurator(folder: Path) -> Iterator[Measured]:
    for row in _rows(folder / "aiconfigurator_grid_llama31_8b.csv"):
        if row["database_mode"] != "SILICON" or row["error"] or row["system"] not in _ACCELERATORS:
            continue
        if row["batch"] == "128":  # its rates there don't agree with its own times
            continue
        point = OperatingPoint(
            model="meta-llama/Llama-3.1-8B-Instruct",
            device=_ACCELERATORS[row["system"]],
            input_tokens=float(row["isl"]),
            output_tokens=float(row["osl"]),
            batch=float(row["batch"]),
        )
        values = {RATE: float(row["out_tokens_per_s"])}
        if point.batch == 1:
            values = {PREFILL: float(row["ttft_ms"]) / 1000, **values}
        yield Measured(
            source="aiconfigurator", family="Llama 8B", point=point, values=values, devices_alone=True
        )


def _splitwise(folder: Path) -> Iterator[Measured]:
    """Of 2023: up to 0.2.1 (October) vLLM installs PyTorch 2.0.1 with NCCL 2.14.3, and NVLink SHARP came with NCCL 2.17."""
    repeats: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    for row in _rows(folder / "splitwise_perf_model.csv"):
        if row["hardware"] in _ACCELERATORS and row["batch_size"] == "1":
            key = (_ACCELERATORS[row["hardware"]], int(row["tensor_parallel"]), int(row["prompt_size"]))
            repeats[key].append(float(row["prompt_time"]) / 1000)
    for (device, devices, prompt), seconds in repeats.items():
        point = OperatingPoint(
            model="meta-llama/Llama-2-70b-chat-hf",
            device=device,
            gpus=devices,
            tensor_parallel=devices,
            input_tokens=prompt,
            output_tokens=128,
            batch=1,
        )
        values = {PREFILL: statistics.median(seconds)}
        yield Measured(source="Splitwise", family="Llama 70B", point=point, values=values, devices_add=True)


def _llama_cpp(folder: Path) -> Iterator[Measured]:
    for row in _rows(folder / "cpu_spr_llama31_8b_q4km.csv"):
        if row["threads"] != "112":
            continue
        batch, prompt = float(row["B"]), float(row["PP"])
        point = OperatingPoint(
            model="meta-llama/Llama-3.1-8B-Instruct",
            device="xeon-8480plus",
            gpus=2,
            precision="int4",
            input_tokens=prompt,
            output_tokens=float(row["TG"]),
            batch=batch,
        )
        values = {
            PREFILL: prompt / float(row["S_PP_tps"]),
            TPOT: batch / float(row["S_TG_tps"]),
        }
        yield Measured(source="llama.cpp", family="Llama 8B", point=point, values=values)


_FAMILIES = {
    "Llama-3.1-8B": "Llama 8B", "Llama-3.3-70B": "Llama 70B", "Llama-3.1-405B": "Llama 405B", "gemma-3": "Gemma 3",
    "gpt-oss": "gpt-oss", "DeepSeek": "DeepSeek", "Llama-4": "Llama 4", "Nemotron": "Nemotron (hybrid)",
    "Qwen3-Coder": "Qwen3-Coder MoE", "Qwen3-235B": "Qwen3 235B MoE",
}  # fmt: skip


def _family(name: str) -> str:
    return next(family for part, family in _FAMILIES.items() if part in name)
