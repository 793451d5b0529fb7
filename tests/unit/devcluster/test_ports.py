import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve_devcluster import ports, state
from ecoserve_devcluster.errors import DevclusterError


@given(st.integers(0, 20), st.sets(st.sampled_from(ports.RANGE), max_size=200))
def test_ports_are_distinct_in_range_and_not_taken(count, taken):
    chosen = ports.choose(count, taken)
    assert len(set(chosen)) == count
    assert set(chosen) <= set(ports.RANGE) - taken


def test_a_port_in_use_is_not_chosen():
    all_but_two = set(ports.RANGE[2:])
    with socket.socket() as used:
        used.bind(("127.0.0.1", ports.RANGE[0]))
        used.listen()
        assert ports.choose(1, all_but_two) == (ports.RANGE[1],)


def test_too_few_free_ports_is_an_error():
    with pytest.raises(DevclusterError, match="no 1 free"):
        ports.choose(1, ports.RANGE)


def test_two_clusters_are_never_given_the_same_port(monkeypatch):
    monkeypatch.setattr(ports, "RANGE", ports.RANGE[:40])
    for name in ("one", "two"):
        state.write(state.new(name))
    given_out = [port for name in ("one", "two", "one") for port in ports.reserve(name, 6)]
    assert len(set(given_out)) == 18
    assert state.require("one").ports == (*given_out[:6], *given_out[12:])
