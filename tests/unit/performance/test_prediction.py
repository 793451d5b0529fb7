import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, efficiency, predict

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
    """One sequence on an H100: weights without the embedding table, its KV, its compute, and the fixed costs."""
    weights = 2 * (8.030e9 - 128256 * 4096)
    kv = 150 * 131072
    reads = (weights + kv) / (3350e9 * efficiency.MEMORY_BANDWIDTH_EFFICIENCY)
    compute = weights / (989e12 * efficiency.COMPUTE_EFFICIENCY)
    expected = efficiency.STEP_SECONDS + efficiency.SEQUENCE_SECONDS + reads + compute
    assert predict(engine(), 100, 100, 1).tpot_seconds == pytest.approx(expected)


def test_a_prefill_by_hand():
    """A long prompt on an H100 is matrix work plus attention that grows with its square."""
    flops = 2 * (8.030e9 - 128256 * 4096) * 8192 + 2 * 32 * 32 * 128 * 8192**2
    expected = flops / (989e12 * efficiency.COMPUTE_EFFICIENCY) + efficiency.PREFILL_LATENCY_SECONDS
    assert predict(engine(), 8192, 100, 1).prefill_seconds == pytest.approx(expected)


def test_published_order_of_magnitude_of_energy():
    """An H100 serving 8B in bf16 takes about 0.165 J/token at batch 32 and 0.095 at 128 (ML.ENERGY)."""
    assert predict(engine(), 220, 400, 32).joules_per_output_token == pytest.approx(0.165, rel=0.1)
    assert predict(engine(), 220, 400, 128).joules_per_output_token == pytest.approx(0.095, rel=0.1)


@pytest.mark.parametrize(("faster", "slower"), [("int4", "bf16"), ("fp8", "bf16")])
def test_fewer_bytes_per_weight_decode_faster(faster, slower):
    fast, slow = (predict(engine(precision=p), 500, 100, 4).tpot_seconds for p in (faster, slower))
    assert fast < slow


def test_tensor_parallelism_pays_more_over_nvlink_than_over_pcie():
    gains = [
        predict(engine(instance=name), 2000, 100, 1).prefill_seconds
        / predict(engine(instance=name, tp=4), 2000, 100, 1).prefill_seconds
        for name in ("p4de.24xlarge", "g5.48xlarge")
    ]
    assert 1 < gains[1] < gains[0] < 4


ENGINES = st.one_of(
    st.builds(
        engine,
        model=st.sampled_from(list(CATALOG.models.values())),
        instance=st.sampled_from(["p5.48xlarge", "p4de.24xlarge", "g6.48xlarge", "a3-ultragpu-8g"]),
        tp=st.sampled_from([1, 2, 4, 8]),
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
