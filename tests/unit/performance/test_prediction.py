import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import load_catalog
from ecoserve.errors import InvalidInputError
from ecoserve.performance import Engine, efficiency, engine_resources, predict
from ecoserve.performance.steps import engine_steps

CATALOG = load_catalog()
SMALL = CATALOG.model("meta-llama/Llama-3.1-8B-Instruct")


def engine(model=SMALL, instance="p5.48xlarge", tp=1, precision="bf16", cores=0.0) -> Engine:
    return Engine(
        model=model,
        precision=precision,
        instance=CATALOG.instance(instance),
        tensor_parallel=tp,
        cpu_cores=cores,
    )


def test_a_decode_step_by_hand():
    """One sequence on an H100: weights without the embedding table, its KV, its kernels, and the host."""
    known = efficiency.ACCELERATOR
    weights = 2 * (8.030e9 - 128256 * 4096)
    read = weights / (3350e9 * known.bandwidth_efficiency)
    read += 150 * 131072 / (3350e9 * known.kv_efficiency)
    expected = known.step_seconds + known.sequence_seconds + 32 * known.layer_seconds + read
    assert predict(engine(), 100, 100, 1).tpot_seconds == pytest.approx(expected, rel=1e-3)


def test_a_prefill_by_hand():
    """A long prompt on an H100: multiplications without the output head, attention that grows with its square, activations."""
    known = efficiency.ACCELERATOR
    rate = 989e12 * known.compute_efficiency
    inside = 8.030e9 - 2 * 128256 * 4096
    expected = 2 * inside * 8192 / rate
    expected += 2 * 32 * 32 * 128 * 8192**2 / (rate * known.attention_compute_share)
    values = 2 * 64 * 4096 + inside / 4096
    expected += 8192 * 2 * values * known.activation_passes / (3350e9 * known.bandwidth_efficiency)
    found = predict(engine(), 8192, 100, 1).prefill_seconds
    assert found == pytest.approx(expected + known.prefill_latency_seconds, rel=0.01)


def test_a_prompt_passes_the_output_head_once():
    """Twice the vocabulary costs a prefill its last token only, and a step over as many sequences all of it."""
    wide = replace(SMALL, vocabulary_size=4 * SMALL.vocabulary_size, parameters=8.030e9 + 6 * 128256 * 4096)
    few, many = (engine_steps(engine(model)) for model in (SMALL, wide))
    assert many.prefill_seconds(8192) == pytest.approx(few.prefill_seconds(8192), rel=1e-3)
    assert many.decode_seconds(2000, 1) > few.decode_seconds(2000, 1) * 1.01


def test_switches_that_add_up_take_each_value_once():
    """Eight devices of Llama 70B on 4,096 tokens: 160 exchanges of 8,192 values, 7/4 of them where devices add up."""
    node = CATALOG.instance("p5.48xlarge")
    model = CATALOG.model("meta-llama/Llama-3.1-70B-Instruct")

    def prefill(reduces, devices):
        card = replace(node.accelerator, interconnect_reduces=reduces)
        of = Engine(
            model=model,
            precision="bf16",
            instance=replace(node, accelerator=card),
            tensor_parallel=devices,
        )
        return engine_steps(of).prefill_seconds(4096)

    more = 160 * 0.75 * 4096 * 8192 * 2 / (450e9 * efficiency.ACCELERATOR.link_efficiency)
    assert prefill(reduces=False, devices=8) - prefill(reduces=True, devices=8) == pytest.approx(
        more, rel=0.02
    )
    assert prefill(reduces=False, devices=2) == prefill(reduces=True, devices=2)


def test_the_finer_experts_are_cut_the_fewer_of_their_bytes_a_step_reads():
    """Sixteen experts of which a token takes one, or 128 an eighth as wide of which it takes eight: the same work."""
    coarse = CATALOG.model("meta-llama/Llama-4-Scout-17B-16E-Instruct")
    fine = replace(coarse, experts=128, experts_per_token=8, intermediate_size=coarse.intermediate_size // 8)
    node = CATALOG.instance("p5.48xlarge")

    def step(model):
        return engine_steps(
            Engine(model=model, precision="bf16", instance=node, tensor_parallel=8)
        ).decode_seconds(64, 500)

    assert step(fine) < 0.97 * step(coarse)


def test_a_state_is_read_and_written_at_the_rate_of_weights():
    known = efficiency.ACCELERATOR
    model = CATALOG.model("nvidia/NVIDIA-Nemotron-Nano-9B-v2")
    steps = engine_steps(engine(model))
    state = 27 * 128 * 80 * 128 * 4
    blocks = model.attention_layers + 27 + model.feed_forward_layers
    inside = (model.matmul_parameters - model.embedding_parameters) / model.hidden_size
    moved = 2 * state + 2 * (2 * blocks * model.hidden_size + inside) * known.activation_passes
    added = steps.decode_seconds(2, 1) - steps.decode_seconds(1, 1)
    expected = moved / (3350e9 * known.bandwidth_efficiency) + known.sequence_seconds
    assert added == pytest.approx(expected, rel=0.02)


def test_block_scaled_experts_cost_time_by_the_experts_a_device_holds_most_by_those_it_reads():
    model = CATALOG.model("Qwen/Qwen3-235B-A22B")
    node = CATALOG.instance("p5.48xlarge")

    def steps(scheme, devices):
        of = replace(model, fp8_scheme=scheme)
        return engine_steps(Engine(model=of, precision="fp8", instance=node, expert_parallel=devices))

    def spent(batch, devices):
        return steps("block", devices).decode_seconds(batch, 1) - steps("channel", devices).decode_seconds(
            batch, 1
        )

    known = efficiency.ACCELERATOR
    slower = math.sqrt(efficiency.BLOCK_FP8_TFLOPS / node.accelerator.fp8_tflops)
    all_held = 94 * 16 * (4096 + 1536) * known.block_value_seconds * slower
    assert spent(100_000, 8) == pytest.approx(all_held, rel=1e-3)
    assert spent(100_000, 4) == pytest.approx(2 * all_held, rel=1e-3)
    few = spent(1, 4) / (2 * all_held)
    assert known.empty_tile_share < few < known.empty_tile_share + 0.2
    assert steps("block", 4).decode_watts(8, 1000) > steps("channel", 4).decode_watts(8, 1000)


def test_padding_takes_less_time_on_a_card_that_multiplies_faster():
    """Four times the fp8 rate halves what block-scaled kernels add to a step that reads every expert."""
    model = CATALOG.model("Qwen/Qwen3-235B-A22B")
    node = CATALOG.instance("p5.48xlarge")

    def padding(times):
        card = replace(node.accelerator, fp8_tflops=times * node.accelerator.fp8_tflops)
        on = replace(node, accelerator=card)
        block, channel = (
            engine_steps(
                Engine(
                    model=replace(model, fp8_scheme=scheme), precision="fp8", instance=on, expert_parallel=8
                )
            )
            for scheme in ("block", "channel")
        )
        return block.decode_seconds(10_000, 1) - channel.decode_seconds(10_000, 1)

    assert padding(4) == pytest.approx(padding(1) / 2, rel=1e-3)


def test_experts_spread_over_devices_slow_down_beyond_as_many_tokens_as_each_holds():
    """Sixteen of 128 experts on each device: from 17 tokens on the default tile, in 16 bit, and not where each is split."""
    model = CATALOG.model("Qwen/Qwen3-235B-A22B")
    node = CATALOG.instance("p5.48xlarge")

    def added(precision, held, **parallel):
        steps = engine_steps(Engine(model=model, precision=precision, instance=node, **parallel))
        return steps.decode_seconds(held + 1, 1) / steps.decode_seconds(held, 1) - 1

    assert added("bf16", 16, expert_parallel=8) > 0.15
    assert added("bf16", 128, tensor_parallel=8) < 0.05
    assert added("fp8", 16, expert_parallel=8) < 0.05


def test_units_that_take_four_bits_do_more_with_mxfp4_and_draw_less():
    node = next(
        node for node in CATALOG.instances.values() if node.accelerator and node.accelerator.fp4_tflops
    )
    without = replace(node, accelerator=replace(node.accelerator, fp4_tflops=None))
    native, unpacked = (
        engine_steps(Engine(model=CATALOG.model("openai/gpt-oss-120b"), precision="mxfp4", instance=on))
        for on in (node, without)
    )
    assert native.prefill_seconds(8000) < unpacked.prefill_seconds(8000)
    assert native.decode_watts(8, 1000) < unpacked.decode_watts(8, 1000)


def test_published_order_of_magnitude_of_energy():
    """An H100 serving 8B in bf16 takes about 0.165 J/token at batch 32 and 0.095 at 128 (ML.ENERGY)."""
    assert predict(engine(), 220, 400, 32).joules_per_output_token == pytest.approx(0.165, rel=0.1)
    assert predict(engine(), 220, 400, 128).joules_per_output_token == pytest.approx(0.095, rel=0.1)


@pytest.mark.parametrize(("faster", "slower"), [("int4", "bf16"), ("fp8", "bf16")])
def test_fewer_bytes_per_weight_decode_faster(faster, slower):
    fast, slow = (predict(engine(precision=p), 500, 100, 4).tpot_seconds for p in (faster, slower))
    assert fast < slow


def test_tensor_parallelism_pays_more_over_nvlink_than_over_pcie():
    node = CATALOG.instance("p4de.24xlarge")
    pcie = replace(node, accelerator=replace(node.accelerator, interconnect_gb_per_s=31.5))
    one, *four = (
        engine_steps(Engine(model=SMALL, precision="bf16", instance=on, tensor_parallel=tp)).prefill_seconds(
            2000
        )
        for on, tp in ((node, 1), (node, 4), (pcie, 4))
    )
    assert one / 4 < four[0] < four[1] < one


def test_experts_are_shared_by_all_devices():
    model = CATALOG.model("Qwen/Qwen3-235B-A22B")
    of = Engine(model=model, precision="fp8", instance=CATALOG.instance("p5.48xlarge"), expert_parallel=8)
    assert of.devices == 8
    assert engine_resources(of).gpu == 8
    assert engine_steps(of).kv_tokens > 0


@pytest.mark.parametrize(
    ("model", "expert_parallel"),
    [("Qwen/Qwen3-235B-A22B", 9), ("Qwen/Qwen3-235B-A22B", 0), ("Qwen/Qwen3-8B", 2)],
)
def test_impossible_groups_of_devices_are_named(model, expert_parallel):
    with pytest.raises(InvalidInputError, match="expertParallel"):
        Engine(
            model=CATALOG.model(model),
            precision="bf16",
            instance=CATALOG.instance("p5.48xlarge"),
            expert_parallel=expert_parallel,
        )


ENGINES = st.one_of(
    st.builds(
        engine,
        model=st.sampled_from(list(CATALOG.models.values())),
        instance=st.sampled_from(["p5.48xlarge", "p4de.24xlarge", "g6.48xlarge", "a3-ultragpu-8g"]),
        tp=st.sampled_from([1, 2, 4, 8]),
        precision=st.sampled_from(["bf16", "fp8", "mxfp4"]),
    ),
    st.builds(
        engine, instance=st.sampled_from(["m7i.48xlarge", "m7g.metal"]), tp=st.just(0), cores=st.integers(1, 64)
    ),
)  # fmt: skip
TOKENS, BATCH = st.integers(1, 16000), st.integers(1, 512)


@given(ENGINES, TOKENS, TOKENS, BATCH, BATCH)
def test_more_batch_never_less_throughput_nor_a_shorter_step(of, inputs, outputs, one, other):
    small, large = (predict(of, inputs, outputs, batch) for batch in sorted((one, other)))
    assert large.output_tokens_per_second >= small.output_tokens_per_second * (1 - 1e-9)
    assert large.tpot_seconds >= small.tpot_seconds
    assert large.joules_per_output_token <= small.joules_per_output_token * (1 + 1e-9)


@given(ENGINES, TOKENS, TOKENS, st.integers(1, 4000), BATCH)
def test_more_tokens_are_never_faster(of, inputs, outputs, more, batch):
    base, longer = predict(of, inputs, outputs, batch), predict(of, inputs + more, outputs, batch)
    assert longer.prefill_seconds >= base.prefill_seconds
    assert longer.tpot_seconds >= base.tpot_seconds
    assert longer.output_tokens_per_second <= base.output_tokens_per_second


@given(ENGINES.filter(lambda of: not of.on_cpu), TOKENS, TOKENS, BATCH)
def test_power_lies_between_loaded_idle_and_tdp(of, inputs, outputs, batch):
    card = of.accelerator
    watts = predict(of, inputs, outputs, batch).power_watts / of.tensor_parallel
    assert card.idle_watts + card.loaded_idle_watts < watts <= card.tdp_watts * (1 + 1e-9)
