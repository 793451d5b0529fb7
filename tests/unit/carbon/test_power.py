"""Power by utilisation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon.power import PowerModel, RatedPower, card_watts, derating, mean_watts
from ecoserve.catalog import load_catalog

CATALOG = load_catalog()
CARDS = st.sampled_from(sorted(CATALOG.accelerators))
SHARE = st.floats(0, 1)


@pytest.mark.parametrize(
    ("utilization", "share"),
    [
        (0.0, 0.12),
        (0.05, 0.16),
        (0.1, 0.2),
        (0.45, 0.485),
        (0.5, 0.53),
        (0.8, 0.79),
        (0.95, 0.915),
        (1.0, 0.95),
    ],
)
def test_derating_by_greensku(utilization, share):
    assert derating(utilization) == pytest.approx(share)


def test_models_by_hand():
    t4 = CATALOG.accelerator("t4")
    server = RatedPower(accelerator=t4, accelerator_count=2, cpu_watts=100)
    assert mean_watts(server, 0.5) == pytest.approx(120)
    idle = t4.idle_watts + t4.loaded_idle_watts
    devices = 2 * (idle + 0.5 * (70 - idle)) + 53
    assert mean_watts(server, 0.5, PowerModel.LOADED_IDLE) == pytest.approx(devices)
    assert mean_watts(server, 0.5, PowerModel.WALL) == pytest.approx(devices * 1.05 / 0.95)


@given(CARDS, SHARE, SHARE, st.floats(0, 1000), st.sampled_from(PowerModel))
def test_more_use_never_draws_less(card, one, other, cpu_watts, model):
    low, high = sorted((one, other))
    node = RatedPower(accelerator=CATALOG.accelerator(card), accelerator_count=8, cpu_watts=cpu_watts)
    assert mean_watts(node, low, model) <= mean_watts(node, high, model) * (1 + 1e-12)


@given(CARDS)
def test_a_card_goes_from_loaded_idle_to_its_tdp(card):
    accelerator = CATALOG.accelerator(card)
    assert card_watts(accelerator, 1) == pytest.approx(accelerator.tdp_watts)
    assert 0 < card_watts(accelerator, 0) <= accelerator.tdp_watts
