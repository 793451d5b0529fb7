"""Which accelerator is greener: sums by hand, the lower envelope, and what does not fit."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import AverageIntensity, accelerator_embodied, coefficient_set
from ecoserve.catalog import load_catalog
from ecoserve.comparison.accelerators import Contest, Line, Terms, Work, compare_accelerators
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.performance import OperatingPoint, predict_point

CATALOG = load_catalog()
MODELS = ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "openlm-research/open_llama_3b", "huggyllama/llama-7b")
WORK = Work(model=MODELS[0], precision="fp16", input_tokens=200, output_tokens=100, batch=4)


def grid(grams: float) -> AverageIntensity:
    return AverageIntensity(grams_per_kwh=grams)


def contest(
    work: Work = WORK, gpus: tuple[str, ...] = ("t4", "rtx6000ada"), terms: Terms | None = None
) -> Contest:
    return compare_accelerators([work], gpus, terms or Terms(), CATALOG)[0]


def line(gpu: str, embodied: float, energy: float) -> Line:
    return replace(contest(gpus=("t4",)).lines[0], gpu=gpu, embodied_grams=embodied, kilowatt_hours=energy)


def of_lines(*lines: Line) -> Contest:
    return Contest(work=WORK, gpus=tuple(item.gpu for item in lines), lines=lines, refused={})


def test_grams_of_a_thousand_tokens_by_hand():
    point = OperatingPoint(
        model=MODELS[0], device="t4", precision="fp16", input_tokens=200, output_tokens=100, batch=4
    )
    figures = predict_point(point, CATALOG).prediction
    found = contest().lines[0]
    kg = accelerator_embodied(CATALOG.accelerator("t4")).total_kg
    seconds = 1000 / figures.output_tokens_per_second
    assert found.operational_grams(grid(261)) == pytest.approx(figures.joules_per_output_token / 3600 * 261)
    assert found.embodied_grams == pytest.approx(kg * 1000 / (4 * 8760 * 3600) * seconds)
    assert found.grams(grid(found.crossover_grams_per_kwh)) == pytest.approx(2 * found.embodied_grams)


def test_terms_scale_each_part():
    base, doubled = (
        contest().lines[0],
        contest(terms=Terms(lifetime_years=2, utilization=0.5, pue=1.5)).lines[0],
    )
    assert doubled.embodied_grams == pytest.approx(4 * base.embodied_grams)
    assert doubled.kilowatt_hours == pytest.approx(1.5 * base.kilowatt_hours)


def test_cards_together_are_all_counted():
    work = replace(WORK, cards=2)
    found = contest(work).lines[0]
    kg = 2 * accelerator_embodied(CATALOG.accelerator("t4")).total_kg
    seconds = 1000 / found.prediction.prediction.output_tokens_per_second
    assert found.embodied_grams == pytest.approx(kg * 1000 / (4 * 8760 * 3600) * seconds)


def test_where_two_lines_cross_the_answer_turns_round():
    found = of_lines(line("old", 1.0, 3.0), line("new", 2.0, 1.0))
    assert [(item.gpu, item.since, item.until) for item in found.stretches] == [
        ("old", 0.0, 0.5),
        ("new", 0.5, None),
    ]
    cleaner, dirtier = found.greenest(grid(0.4)), found.greenest(grid(0.6))
    assert cleaner is not None
    assert dirtier is not None
    assert (cleaner.gpu, dirtier.gpu) == ("old", "new")


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.001, 10)), min_size=1, max_size=6),
    st.lists(st.floats(0, 2000), min_size=1, max_size=10),
)
def test_the_stretches_are_the_lower_envelope(lines, intensities):
    found = of_lines(*(line(str(k), embodied, energy) for k, (embodied, energy) in enumerate(lines)))
    by_name = {item.gpu: item for item in found.lines}
    stretches = found.stretches
    assert stretches[0].since == 0
    assert stretches[-1].until is None
    for before, after in pairwise(stretches):
        assert before.until == after.since
    for grams in intensities:
        named = next(item for item in reversed(stretches) if item.since <= grams)
        best = found.greenest(grid(grams))
        assert best is not None
        assert by_name[named.gpu].grams(grid(grams)) == pytest.approx(best.grams(grid(grams)), abs=1e-9)


@given(st.sampled_from(MODELS), st.sampled_from([1, 2, 4, 16, 64]), st.floats(0, 1000), st.floats(0, 1000))
def test_a_dirtier_grid_never_emits_less(model, batch, one, other):
    low, high = sorted((one, other))
    for found in contest(replace(WORK, model=model, batch=batch)).lines:
        assert 0 < found.grams(grid(low)) <= found.grams(grid(high))
        assert math.isfinite(found.grams(grid(high)))


def test_a_model_that_does_not_fit_says_so_and_leaves_the_other_alone():
    work = replace(WORK, model=MODELS[2], batch=16, input_tokens=1000, output_tokens=1000)
    found = contest(work)
    assert [item.gpu for item in found.lines] == ["rtx6000ada"]
    assert "fit" in found.refused["t4"]
    assert found.saved_share(grid(261)) is None
    neither = contest(replace(work, model="meta-llama/Llama-3.1-70B-Instruct"))
    assert neither.lines == ()
    assert neither.greenest(grid(261)) is None
    assert neither.stretches == ()


def test_a_lead_within_the_expected_errors_is_not_clear():
    near = of_lines(line("a", 1.0, 1.0), line("b", 1.01, 1.0))
    far = of_lines(line("a", 1.0, 1.0), line("b", 100.0, 1.0))
    assert not near.is_clear(grid(1))
    assert far.is_clear(grid(1))


@pytest.mark.parametrize(
    ("model", "gpu", "words"), [("llama", "t4", "model"), (MODELS[0], "t5", "accelerator")]
)
def test_unknown_names_are_refused(model, gpu, words):
    with pytest.raises(UnknownNameError, match=words):
        contest(replace(WORK, model=model), gpus=(gpu,))


def test_a_set_without_a_figure_for_a_card_is_refused():
    with pytest.raises(InvalidInputError, match="boavizta"):
        contest(terms=Terms(coefficients=coefficient_set("boavizta")))
