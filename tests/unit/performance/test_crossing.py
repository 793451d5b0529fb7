"""Where shares cross the target: which streams hold the answer between them."""

from dataclasses import replace

import pytest

from ecoserve.performance.crossing import Seen, crossing_of

TARGET = 0.95
LONG = [
    Seen(log, share, 0.01, requests=20_000, pieces=20.0, long=True)
    for log, share in ((-0.02, 0.97), (-0.01, 0.955), (0.0, 0.93))
]


def test_the_target_is_crossed_between_shares_on_either_side():
    assert -0.01 < crossing_of(LONG, TARGET).log < 0.0


@pytest.mark.parametrize(("pieces", "held"), [(2.0, False), (20_000.0, True)])
def test_a_stream_without_a_miss_holds_the_rate_up_only_if_it_is_many_pieces(pieces, held):
    lucky = Seen(0.02, 1.0, 0.0, requests=4000, pieces=pieces, long=False)
    assert (crossing_of([lucky, *LONG], TARGET).log >= lucky.log) is held


def test_a_larger_error_of_shares_is_a_larger_error_of_the_crossing():
    unsure = [replace(item, error=0.02) for item in LONG]
    assert crossing_of(unsure, TARGET).error == pytest.approx(2 * crossing_of(LONG, TARGET).error)
