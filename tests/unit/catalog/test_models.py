"""Model shapes: rebuilt totals, published sizes, names as they occur."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import BYTES_PER_WEIGHT, ModelArchitecture, load_catalog
from ecoserve.catalog.loading import build_models, split_precision
from ecoserve.errors import InvalidInputError, UnknownNameError

CATALOG = load_catalog()
MODELS = st.sampled_from(list(CATALOG.models.values()))
LLAMA = {
    "layers": 32,
    "hiddenSize": 4096,
    "intermediateSize": 14336,
    "attentionHeads": 32,
    "kvHeads": 8,
    "headDim": 128,
    "vocabularySize": 128256,
    "parameters": 8.03e9,
}


@pytest.mark.parametrize("model", list(CATALOG.models.values()), ids=list(CATALOG.models))
def test_the_parameter_count_follows_from_the_shape(model: ModelArchitecture):
    assert model.parameters_from_shape == pytest.approx(model.parameters, rel=1e-3)
    assert model.attention_heads % model.kv_heads == 0
    assert model.matmul_parameters <= model.active_parameters <= model.parameters


@pytest.mark.parametrize(
    ("name", "kv_kib", "active_billions"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 128, 8.03),
        ("meta-llama/Llama-3.1-70B-Instruct", 320, 70.55),
        ("meta-llama/Llama-2-7b-chat-hf", 512, 6.74),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 128, 12.9),
        ("Qwen/Qwen3-30B-A3B", 96, 3.35),
        ("deepseek-ai/DeepSeek-V3", 68.625, 37.6),
        ("openai/gpt-oss-120b", 72, 5.75),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", 192, 17.2),
        ("bigscience/bloom", 3920, 176.25),
        ("meta-llama/Llama-3.1-405B-Instruct", 504, 405.85),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", 224, 39.15),
        ("google/gemma-3-27b-it", 496, 27.01),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", 16, 8.89),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", 22, 1.10),
    ],
)
def test_published_kv_sizes_and_active_parameters(name, kv_kib, active_billions):
    model = CATALOG.model(name)
    assert model.kv_bytes_per_token() == kv_kib * 1024
    assert model.active_parameters / 1e9 == pytest.approx(active_billions, rel=0.005)


def test_windowed_layers_hold_their_window():
    model = CATALOG.model("openai/gpt-oss-120b")
    assert model.kv_bytes(128) == 128 * model.kv_bytes_per_token()
    assert model.kv_bytes(1128) == model.kv_bytes(128) + 500 * model.kv_bytes_per_token()


def test_a_mixture_reads_more_experts_with_more_tokens_and_never_more_than_all():
    model = CATALOG.model("mistralai/Mixtral-8x7B-Instruct-v0.1")
    reads = [model.weight_bytes_read(tokens, "bf16") / 2 for tokens in (1, 2, 8, 64, 4096)]
    assert reads == sorted(reads)
    assert reads[0] == pytest.approx(model.matmul_parameters)
    assert reads[-1] == pytest.approx(model.parameters - model.embedding_parameters)


@pytest.mark.parametrize(
    ("name", "gigabytes"),  # of the published checkpoints
    [
        ("openai/gpt-oss-20b", 13.76),
        ("openai/gpt-oss-120b", 65.25),
        ("google/gemma-3-27b-it", 54.86),
        ("meta-llama/Llama-3.1-8B-Instruct", 16.06),
    ],
)
def test_weights_weigh_what_the_published_checkpoint_weighs(name, gigabytes):
    model = CATALOG.model(name)
    assert model.weight_bytes(model.native_precision) / 1e9 == pytest.approx(gigabytes, rel=0.005)


def test_fp8_weights_stay_in_16_bit_where_their_publisher_leaves_them_so():
    """Meta's fp8 holds feed-forward weights (405B) or routed experts (Llama 4) in 8 bit, Qwen's and quantisers' all."""
    dense = CATALOG.model("meta-llama/Llama-3.1-405B-Instruct-FP8")
    assert dense.weight_bytes("fp8") == 2 * dense.parameters - dense.feed_forward_parameters
    mixture = CATALOG.model("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8")
    assert mixture.always_read_bytes("fp8") == mixture.always_read_bytes("bf16")
    assert mixture.weight_bytes("fp8") < 0.6 * mixture.weight_bytes("bf16")
    for name in ("Qwen/Qwen3-32B-FP8", "nvidia/Llama-3.1-405B-Instruct-FP8"):
        model = CATALOG.model(name)
        assert model.weight_bytes("fp8") == model.parameters
        head = model.embedding_parameters
        assert model.always_read_bytes("fp8") == model.always_read_parameters + head


def test_an_unknown_fp8_scheme_is_named():
    with pytest.raises(InvalidInputError, match=r"fp8_scheme.*tensor.*channel, block, feed-forward"):
        replace(CATALOG.model("Qwen/Qwen3-8B"), fp8_scheme="tensor")


def test_at_least_25_models_and_every_family_asked_for():
    shapes = {
        (m.hidden_size, m.layers, m.intermediate_size, m.vocabulary_size) for m in CATALOG.models.values()
    }
    assert len(shapes) >= 25
    for name in (
        *(f"meta-llama/Llama-3.{v}" for v in ("1-8B", "1-70B", "1-405B", "2-1B", "2-3B", "3-70B-Instruct")),
        *(f"Qwen/Qwen3-{v}" for v in ("0.6B", "1.7B", "4B", "8B", "14B", "32B", "30B-A3B-Instruct-2507")),
        *(f"google/gemma-3-{v}-it" for v in ("1b", "4b", "12b", "27b")),
        *(f"mistralai/{v}" for v in ("Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x22B-Instruct-v0.1")),
        *(f"meta-llama/Llama-2-{v}-hf" for v in ("7b", "13b", "70b")),
        *(f"deepseek-ai/DeepSeek-{v}" for v in ("V3", "R1", "R1-0528", "V3.1")),
    ):
        assert CATALOG.model(name).name == name


@pytest.mark.parametrize(
    ("name", "same_as", "precision"),
    [
        ("meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", "bf16"),
        ("llama2-70b", "meta-llama/Llama-2-70b-chat-hf", "bf16"),
        ("meta-llama/Llama-3.1-405B-Instruct-FP8", "meta-llama/Llama-3.1-405B-Instruct", "fp8"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "meta-llama/Llama-3.3-70B-Instruct", "fp8"),
        ("Qwen/Qwen3-32B-AWQ", "Qwen/Qwen3-32B", "int4"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "Qwen/Qwen2.5-7B-Instruct", "int8"),
        ("unsloth/llama-3.1-8b-instruct-bnb-4bit", "meta-llama/Llama-3.1-8B-Instruct", "int4"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-ai/DeepSeek-V3", "fp8"),
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b", "mxfp4"),
    ],
)
def test_other_names_of_a_model(name, same_as, precision):
    found, canonical = CATALOG.model(name), CATALOG.model(same_as)
    assert (found.name, found.native_precision) == (name, precision)
    assert (found.layers, found.parameters) == (canonical.layers, canonical.parameters)


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen3-8X", "nobody/nothing-FP8", "llama-3.1-8b", "/Qwen3-8B", "Qwen3-8B/", ""]
)
def test_what_is_no_model_is_unknown(name):
    with pytest.raises(UnknownNameError, match="model"):
        CATALOG.model(name)


def test_a_name_without_precision_keeps_all_of_itself():
    assert split_precision("Qwen/Qwen3-8B") == ("Qwen/Qwen3-8B", None)


@given(MODELS, st.floats(1, 200_000), st.floats(1, 200_000))
def test_context_costs_more_the_longer_it_is_and_never_more_than_without_windows(model, one, other):
    short, long = sorted((one, other))
    state = model.state_space.state_bytes if model.state_space else 0.0
    assert model.kv_bytes(short) <= model.kv_bytes(long) * (1 + 1e-12)
    assert model.kv_bytes(long) <= (long * model.kv_bytes_per_token() + state) * (1 + 1e-12)


@given(MODELS, st.floats(1, 1e5))
def test_attention_over_a_prompt_grows_with_its_square_up_to_the_window(model, tokens):
    heads = model.attention_heads * model.head_dim
    full = 2.0 * model.attention_layers * heads * tokens**2
    assert model.prompt_attention_flops(tokens) <= full * (1 + 1e-12)
    if not model.windowed_layers or tokens <= model.window_tokens:
        assert model.prompt_attention_flops(tokens) == pytest.approx(full)


@given(MODELS, st.sampled_from(sorted(BYTES_PER_WEIGHT)), st.floats(1, 1e5))
def test_a_step_reads_no_more_than_there_is(model, precision, tokens):
    assert 0 < model.weight_bytes_read(tokens, precision) <= model.weight_bytes(precision) * (1 + 1e-12)
    assert model.weight_bytes(precision) <= model.weight_bytes("bf16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "layers: 0 is not accepted"),
        ({"experts": 8}, "experts_per_token"),
        ({"experts": 2, "expertsPerToken": 3}, "experts_per_token"),
        ({"colour": "red"}, "colour"),
        ({"nativePrecision": "fp7"}, "fp7"),
        ({"stateSpace": {"layers": 1}}, "stateSpace"),
    ],
)
def test_a_bad_shape_is_named(change, message):
    with pytest.raises(InvalidInputError, match=message):
        build_models("m", LLAMA | change)


def test_a_missing_size_is_named():
    with pytest.raises(InvalidInputError, match="kv_heads"):
        build_models("m", {key: value for key, value in LLAMA.items() if key != "kvHeads"})


def test_every_model_of_published_measurements_is_known():
    folder = os.environ.get("ECOSERVE_DATA")
    if not folder:
        pytest.skip("ECOSERVE_DATA is not set")
    for path in sorted((Path(folder) / "performance").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            names = {row.get("model_id") or row.get("model") for row in csv.DictReader(file)} - {None}
        for name in names:
            assert CATALOG.model(name).name == name
