import pytest

from ecoserve.performance import OperatingPoint, predict_point


def expected(model: str, device: str, precision: str = "bf16", gpus: int = 1) -> float:
    point = OperatingPoint(
        model=model,
        device=device,
        gpus=gpus,
        tensor_parallel=gpus,
        precision=precision,
        input_tokens=200,
        output_tokens=200,
        batch=1,
    )
    return predict_point(point).expected_error


SMALL = "meta-llama/Llama-3.2-1B-Instruct"


@pytest.mark.parametrize(
    ("known", "less_known"),
    [
        ((SMALL, "h100-sxm"), (SMALL, "t4")),
        ((SMALL, "h200-sxm"), (SMALL, "mi300x")),
        ((SMALL, "h100-sxm"), (SMALL, "h100-sxm", "int4")),
        ((SMALL, "xeon-8480plus", "int4"), (SMALL, "xeon-8480plus", "bf16")),
        ((SMALL, "xeon-8480plus", "int4"), (SMALL, "graviton4", "int4")),
    ],
)
def test_what_was_measured_is_expected_to_be_nearer(known, less_known):
    assert 0 < expected(*known) < expected(*less_known) < 1


def test_a_model_measured_there_has_the_error_of_its_own_rows():
    of_class = expected(SMALL, "b200-sxm")
    rows = {
        name: expected(name, "b200-sxm", gpus=gpus)
        for name, gpus in (("meta-llama/Llama-3.3-70B-Instruct", 2), ("meta-llama/Llama-3.1-8B-Instruct", 1))
    }
    assert rows["meta-llama/Llama-3.3-70B-Instruct"] < of_class < rows["meta-llama/Llama-3.1-8B-Instruct"]
    assert expected("Qwen/Qwen3-235B-A22B", "b200-sxm", gpus=4) == expected(
        "Qwen/Qwen3-235B-A22B-Thinking-2507", "b200-sxm", gpus=4
    )


def test_half_precision_is_as_good_as_bfloat():
    assert expected(SMALL, "h100-sxm", "fp16") == expected(SMALL, "h100-sxm")
