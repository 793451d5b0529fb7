"""The performance model against published measurements: a few golden figures always, all rows where they are at hand.

Bounds are medians of absolute errors found when the constants were set, rounded up: the test holds the state,
docs/models.md tells it in full, with rows that the fit had not seen.
"""

import math
import os
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ecoserve.performance import OperatingPoint, predict_point

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("ECOSERVE_DATA", "")) / "performance"
TPOT, RATE, JOULES, PREFILL = (
    "tpot_seconds", "output_tokens_per_second", "joules_per_output_token", "prefill_seconds",
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "device", "gpus", "tp", "precision", "lengths", "batch", "quantity", "published", "within"),
    [
        # ML.ENERGY leaderboard v3, vLLM, chat: median time between tokens, throughput, energy per token
        ("meta-llama/Llama-3.1-8B-Instruct", "h100-sxm", 1, 1, "bf16", (200, 405), 128, TPOT, 0.0165, 0.1),
        ("meta-llama/Llama-3.1-8B-Instruct", "h100-sxm", 1, 1, "bf16", (200, 390), 32, JOULES, 0.165, 0.15),
        ("meta-llama/Llama-3.3-70B-Instruct", "h100-sxm", 4, 4, "bf16", (200, 409), 64, RATE, 2570, 0.1),
        ("meta-llama/Llama-3.3-70B-Instruct", "b200-sxm", 2, 2, "bf16", (200, 411), 8, TPOT, 0.0166, 0.1),
        ("meta-llama/Llama-3.1-405B-Instruct-FP8", "h100-sxm", 8, 8, "fp8", (200, 366), 8, TPOT, 0.0332, 0.1),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507-FP8", "h100-sxm", 8, 1, "fp8", (220, 9020), 64, TPOT, 0.0395, 0.15),
        # Splitwise (ISCA'24): prompt of 512 tokens on two A100
        ("meta-llama/Llama-2-70b-chat-hf", "a100-80-sxm", 2, 2, "bf16", (512, 128), 1, PREFILL, 0.195, 0.15),
        # llama-cpp-energy: Q4_K_M on two Sapphire Rapids sockets, 112 threads
        ("meta-llama/Llama-3.1-8B-Instruct", "xeon-8480plus", 2, 1, "int4", (512, 128), 1, TPOT, 1 / 20.4, 0.15),
        ("meta-llama/Llama-3.1-8B-Instruct", "xeon-8480plus", 2, 1, "int4", (512, 128), 1, PREFILL, 512 / 192, 0.15),
        # MLPerf Inference 5.1, offline: the figure that set the rate of matrix units
        ("meta-llama/Llama-3.1-8B-Instruct", "xeon-6980p", 2, 1, "int8", (780, 73), 128, RATE, 1233, 0.15),
    ],
)  # fmt: skip
def test_golden_figures(model, device, gpus, tp, precision, lengths, batch, quantity, published, within):
    point = OperatingPoint(
        model=model,
        device=device,
        gpus=gpus,
        tensor_parallel=tp,
        precision=precision,
        input_tokens=lengths[0],
        output_tokens=lengths[1],
        batch=batch,
    )
    assert getattr(predict_point(point).prediction, quantity) == pytest.approx(published, rel=within)


@pytest.fixture(scope="module")
def errors() -> dict[tuple[str, str], list[float]]:
    if not (os.environ.get("ECOSERVE_DATA") and DATA.is_dir()):
        pytest.skip("set ECOSERVE_DATA to a folder whose performance/ holds the published measurements")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from performance.fitting import log_errors
    from performance.measurements import load

    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in load(DATA):
        if not row.disturbed:
            for quantity, error in log_errors(row).items():
                found[row.source, quantity].append(abs(math.expm1(error)))
                found[f"{row.family} {row.point.precision} {row.point.device}", quantity].append(
                    abs(math.expm1(error))
                )
    return found


@pytest.mark.parametrize(
    ("rows", "quantity", "bound"),
    [
        ("ML.ENERGY", TPOT, 0.10),
        ("ML.ENERGY", RATE, 0.10),
        ("ML.ENERGY", JOULES, 0.10),
        ("Splitwise", PREFILL, 0.10),
        ("Llama 70B bf16 h100-sxm", PREFILL, 0.13),
        ("aiconfigurator", PREFILL, 0.08),
        ("aiconfigurator", RATE, 0.10),
        ("Nemotron (hybrid) bf16 h100-sxm", TPOT, 0.08),
        ("Llama 4 fp8 h100-sxm", TPOT, 0.08),
        ("Qwen3 235B MoE fp8 b200-sxm", JOULES, 0.18),
        ("Llama 8B bf16 h100-sxm", TPOT, 0.06),
        ("Llama 70B bf16 h100-sxm", RATE, 0.07),
        ("Llama 70B bf16 b200-sxm", TPOT, 0.08),
        ("Llama 405B fp8 h100-sxm", TPOT, 0.06),
        ("Qwen3 235B MoE fp8 h100-sxm", RATE, 0.08),
        ("llama.cpp", TPOT, 0.10),
        ("llama.cpp", PREFILL, 0.12),
    ],
)
def test_median_error_is_as_stated(errors, rows, quantity, bound):
    assert statistics.median(errors[rows, quantity]) <= bound
