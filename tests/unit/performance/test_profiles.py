"""Measured profiles: heeded where they were measured, interpolated between, and a ratio without a jump beyond."""

import csv
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import MeasuredPoint, MeasuredProfile, load_catalog
from ecoserve.errors import InvalidInputError
from ecoserve.performance import Engine, OperatingPoint, Role, Slo, Source, predict_point, replica_capacity
from ecoserve.performance.profiles import figures_at, interpolation_error, profile_of
from ecoserve.performance.steps import engine_steps
from properties import examples

CATALOG = load_catalog()
MODEL = CATALOG.model("meta-llama/Llama-3.1-8B-Instruct")
NODE = CATALOG.instance("p5.48xlarge")
SLO = Slo(ttft_seconds=1.0, tpot_seconds=0.05)


def point(
    batch: float, tpot: float, inputs: float = 1000, outputs: float = 100, **more: float
) -> MeasuredPoint:
    return MeasuredPoint(input_tokens=inputs, output_tokens=outputs, batch=batch, tpot_seconds=tpot, **more)


def profile(*points: MeasuredPoint, **changes: object) -> MeasuredProfile:
    given = {"model": MODEL, "precision": "bf16", "tensor_parallel": 1, "points": points}
    return MeasuredProfile(**(given | changes))


def engine(*measured: MeasuredProfile, **changes: object) -> Engine:
    given = {
        "model": MODEL,
        "precision": "bf16",
        "instance": replace(NODE, measured=measured),
        "tensor_parallel": 1,
    }
    return Engine(**(given | changes))


SWEEP = profile(*(point(batch, 0.010 + 0.0005 * batch) for batch in (1, 4, 16, 64)))
GRID = profile(
    *(
        point(batch, (0.008 + 0.0004 * batch) * (1 + inputs / 10_000), inputs, outputs)
        for batch in (1, 8, 32)
        for inputs in (128, 1024)
        for outputs in (64, 256)
    )
)


def test_a_measured_load_is_told_as_it_was_measured():
    found = figures_at(SWEEP, 1000, 100, 16)
    assert found.source is Source.MEASURED
    assert found.tpot_seconds == pytest.approx(0.018)
    drawn = figures_at(SWEEP, 1003.7, 99.2, 15.9)  # benchmarks draw lengths and count what was in flight
    assert drawn == found


def test_between_measured_loads_it_is_interpolated_and_beyond_there_is_nothing():
    found = figures_at(SWEEP, 1000, 100, 8)
    assert found.source is Source.INTERPOLATED
    assert 0.012 < found.tpot_seconds < 0.018
    assert figures_at(SWEEP, 1000, 100, 65.5) is None
    assert figures_at(SWEEP, 1100, 100, 8) is None
    assert figures_at(SWEEP, 1000, 50, 8) is None


def test_lengths_are_interpolated_within_a_grid_alone():
    inside = figures_at(GRID, 400, 100, 16)
    assert inside.source is Source.INTERPOLATED
    corners = [figures_at(GRID, n, m, 16).tpot_seconds for n in (128, 1024) for m in (64, 256)]
    assert min(corners) < inside.tpot_seconds < max(corners)
    on_an_edge = figures_at(GRID, 128, 100, 8)
    assert on_an_edge.tpot_seconds == pytest.approx(figures_at(GRID, 128, 64, 8).tpot_seconds)
    assert figures_at(GRID, 100, 100, 16) is None
    assert figures_at(GRID, 400, 300, 16) is None
    holed = replace(GRID, points=GRID.points[:-1])  # the corner 1024 in, 256 out ends at batch 8
    assert figures_at(holed, 400, 100, 16) is None
    assert figures_at(holed, 400, 100, 4) is not None


def test_repeated_loads_are_averaged_and_what_one_lacks_is_lacking():
    twice = profile(point(4, 0.010, power_watts=300.0), point(4, 0.014), point(8, 0.02))
    assert figures_at(twice, 1000, 100, 4).tpot_seconds == pytest.approx(0.012)
    assert figures_at(twice, 1000, 100, 4).power_watts == 300
    assert figures_at(twice, 1000, 100, 6).power_watts is None


def test_the_error_of_interpolation_is_told_by_leaving_points_out():
    straight = profile(*(point(batch, 0.01 * batch**0.5) for batch in (1, 2, 4, 8, 16)))
    assert interpolation_error(straight) == 0.03  # exact, so what repeated runs differ by
    bent = profile(*(point(batch, 0.01 + 0.01 * batch) for batch in (1, 4, 16, 64, 256)))
    assert 0.03 < interpolation_error(bent) < 0.5
    assert interpolation_error(profile(point(1, 0.01))) == 0.1


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, True),
        ({"precision": "fp16"}, True),
        ({"precision": "fp8"}, False),
        ({"model": CATALOG.model("meta-llama/Llama-3.1-8B")}, True),
        ({"model": CATALOG.model("deepseek-ai/DeepSeek-R1-Distill-Llama-8B")}, True),
        ({"model": CATALOG.model("Qwen/Qwen3-8B")}, False),
        ({"tensor_parallel": 2}, False),
        ({"tensor_parallel": 0, "cpu_cores": 64.0}, False),
    ],
)
def test_a_profile_is_for_one_shape_precision_and_share(changes, found):
    assert (profile_of(engine(SWEEP, **changes)) is not None) == found
    on_cores = profile(point(1, 0.1), tensor_parallel=0, vcpus=64)
    assert profile_of(engine(on_cores, tensor_parallel=0, cpu_cores=64.0)) is on_cores


def test_measured_steps_come_back_from_the_step_model():
    steps = engine_steps(engine(SWEEP))
    lone = steps.decode_seconds(1, 1050)
    assert lone == pytest.approx(0.0105)
    for batch, tpot in ((4, 0.012), (16, 0.018), (64, 0.042)):
        step = steps.decode_seconds(batch, 1050)
        added = steps.interference_seconds(batch, 1050, 1000, (batch - 1) / 100)
        assert step + added == pytest.approx(tpot)


@given(
    tpots=st.lists(st.floats(0.002, 0.2), min_size=1, max_size=6),
    batches=st.lists(st.floats(1, 200), min_size=12, max_size=12),
    context=st.floats(1050, 20_000),
)
@examples(60)
def test_a_step_never_gets_shorter_with_the_batch_nor_jumps_at_an_edge(tpots, batches, context):
    points = [point(2.0**index, tpot) for index, tpot in enumerate(tpots)]
    steps = engine_steps(engine(profile(*points)))
    times = [steps.decode_seconds(batch, context) for batch in sorted(batches)]
    assert all(later >= earlier * (1 - 1e-9) for earlier, later in pairwise(times))
    for edge in (1.0, 2.0 ** (len(tpots) - 1)):
        before, after = (
            steps.decode_seconds(max(edge * factor, 1.0), context) for factor in (1 - 1e-6, 1 + 1e-6)
        )
        assert after == pytest.approx(before, rel=1e-3)


def test_prefill_is_corrected_by_lone_requests_and_power_by_what_was_drawn():
    plain = engine_steps(engine())
    slow = profile(point(1, 0.012, ttft_seconds=0.5, power_watts=600.0), point(16, 0.02, ttft_seconds=9.0))
    steps = engine_steps(engine(slow))
    assert steps.prefill_seconds(1000) + steps.prefill_latency_seconds == pytest.approx(0.5)
    ratio = steps.prefill_seconds(1000) / plain.prefill_seconds(1000)
    assert steps.prefill_seconds(4000) == pytest.approx(ratio * plain.prefill_seconds(4000))
    idle = NODE.accelerator.idle_watts + NODE.accelerator.loaded_idle_watts
    assert idle + steps.watts(1, 1050, 1000, 0.01) == pytest.approx(600)


def test_phases_measured_apart_give_prefill_and_step_directly():
    host = CATALOG.instance("m7i.48xlarge")
    apart = profile(
        point(8, 0.2, inputs=512, outputs=64, ttft_seconds=16.0, phases_apart=True),
        tensor_parallel=0,
        vcpus=192,
    )
    on_cpu = Engine(
        model=MODEL,
        precision="bf16",
        instance=replace(host, measured=(apart,)),
        tensor_parallel=0,
        cpu_cores=192,
    )
    steps = engine_steps(on_cpu)
    assert steps.prefill_seconds(512) == pytest.approx(2.0)
    assert steps.decode_seconds(8, 544) == pytest.approx(0.2)


def test_capacity_heeds_measurements():
    def capacity(factor: float) -> float:
        points = [point(batch, factor * (0.008 + 0.0004 * batch), ttft_seconds=0.1) for batch in (1, 8, 64)]
        found = replica_capacity(engine(profile(*points), role=Role.BOTH), 1000, 100, SLO)
        return found.max_requests_per_second

    assert capacity(0.5) > capacity(1.0) > capacity(2.0) > 0


def test_an_engine_that_cannot_run_stays_so():
    t4 = CATALOG.instance("g4dn.xlarge")
    measured = profile(point(1, 0.01), precision="fp8")
    cannot = Engine(
        model=MODEL, precision="fp8", instance=replace(t4, measured=(measured,)), tensor_parallel=1
    )
    assert engine_steps(cannot).rejection() is not None


@pytest.mark.parametrize(
    ("batch", "gpus", "source", "tpot"),
    [(16, 1, Source.MEASURED, 0.018), (32, 2, Source.MEASURED, 0.018), (20, 1, Source.INTERPOLATED, None),
     (128, 1, Source.MODELLED, None)],
)  # fmt: skip
def test_predictions_say_where_they_are_from(batch, gpus, source, tpot):
    asked = OperatingPoint(
        model=MODEL.name, device="h100-sxm", gpus=gpus, input_tokens=1000, output_tokens=100, batch=batch
    )
    found = predict_point(asked, CATALOG, [SWEEP])
    assert found.source is source
    assert tpot is None or found.prediction.tpot_seconds == pytest.approx(tpot)
    assert predict_point(asked, CATALOG).source is Source.MODELLED


def test_a_measured_rate_and_power_are_the_answer():
    full = profile(point(16, 0.018, output_tokens_per_second=800.0, power_watts=400.0))
    asked = OperatingPoint(
        model=MODEL.name, device="h100-sxm", input_tokens=1000, output_tokens=100, batch=16
    )
    found = predict_point(asked, CATALOG, [full]).prediction
    assert (found.output_tokens_per_second, found.power_watts) == (800, 400)
    assert found.joules_per_output_token == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: point(0, 0.01), "point.batch"),
        (lambda: point(1, 0), "point.tpot_seconds"),
        (lambda: point(1, float("nan")), "point.tpot_seconds"),
        (lambda: point(1, 0.01, inputs=0), "point.input_tokens"),
        (lambda: point(1, 0.01, power_watts=-5.0), "point.power_watts"),
        (lambda: profile(), "profile.points"),
        (lambda: profile(point(1, 0.01), vcpus=4), "exactly one"),
        (lambda: profile(point(1, 0.01), precision="fp7"), "fp7"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_published_sweeps_interpolate_within_a_few_percent():
    """Every second batch of published sweeps is kept out and told from its neighbours."""
    folder = os.environ.get("ECOSERVE_DATA")
    if not folder:
        pytest.skip("ECOSERVE_DATA is not set")
    sweeps: dict[tuple[str, ...], dict[float, float]] = {}
    with (Path(folder) / "performance" / "mlenergy_llm.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = tuple(
                row[name] for name in ("model_id", "task", "weight_precision", "gpu_model", "num_gpus", "tp")
            )
            sweeps.setdefault(key, {})[float(row["avg_batch_size"])] = float(row["median_itl_ms"]) / 1000
    errors = []
    for sweep in sweeps.values():
        kept = sorted(sweep)[::2]
        if len(kept) < 3:
            continue
        known = profile(*(point(batch, sweep[batch]) for batch in kept))
        for batch in sorted(sweep)[1::2]:
            found = figures_at(known, 1000, 100, batch)
            if found is not None:
                errors.append(abs(found.tpot_seconds / sweep[batch] - 1))
    assert len(errors) > 50
    assert median(errors) < 0.05
    print(
        f"\ninterpolated TPOT: {len(errors)} points, median error {median(errors):.1%}, p90 {sorted(errors)[int(0.9 * len(errors))]:.1%}"
    )
