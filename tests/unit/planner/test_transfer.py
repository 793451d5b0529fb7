"""KV transfer between prefill and decode replicas: bytes, time and energy, and what they keep from being offered."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import load_catalog
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import (
    Engine,
    Rejection,
    RejectionReason,
    ReplicaCapacity,
    Role,
    Slo,
    replica_capacity,
)
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.configurations import capacity
from ecoserve.planner.plan import make_plan
from ecoserve.planner.transfer import JOULES_PER_BYTE_AND_END, TTFT_SHARE, bytes_per_second, transfer_of
from properties import examples

CATALOG = load_catalog()
CHAT = Slo(ttft_seconds=1.0, tpot_seconds=0.06)
SPLIT = ["prefill", "decode"]
COSTLY = examples(20)
"""For properties whose examples take a tenth of a second each."""


def engine(
    sku: str = "p5.48xlarge", role: Role = Role.PREFILL, devices: int = 1, gbit: float = 3200.0
) -> Engine:
    return Engine(
        model=CATALOG.model("meta-llama/Llama-3.1-8B-Instruct"),
        precision="bf16",
        instance=replace(CATALOG.instance(sku), network_gbit_per_s=gbit),
        role=role,
        tensor_parallel=devices,
    )


def sustained(of: Engine, input_tokens: float, slo: Slo | None = CHAT) -> ReplicaCapacity:
    found = capacity(of, input_tokens, 130.0, slo)
    assert not isinstance(found, Rejection), found.detail
    return found


def test_the_figures_of_an_8b_model_by_hand() -> None:
    """32 layers of 8 heads of 128, keys and values, 2 bytes: 128 KiB a token; one of 8 devices, an eighth of 400 Gbit/s."""
    transfer = transfer_of(engine(gbit=400.0), 1000.0)
    assert transfer is not None
    assert transfer.bytes == 131_072_000
    assert transfer.seconds == pytest.approx(0.131072 / (400 / 8 / 8))
    assert transfer.joules == pytest.approx(0.2716, rel=1e-3)


def test_engines_for_whole_requests_move_nothing() -> None:
    assert transfer_of(engine(role=Role.BOTH), 1000.0) is None
    whole = engine(role=Role.BOTH, gbit=0.001)
    assert capacity(whole, 1000.0, 130.0, CHAT) == replica_capacity(whole, 1000.0, 130.0, CHAT)


@pytest.mark.parametrize("role", [Role.PREFILL, Role.DECODE])
def test_energy_and_time_of_each_end_are_added(role: Role) -> None:
    moved = transfer_of(engine(role=role), 2000.0)
    assert moved is not None
    found = sustained(engine(role=role), 2000.0, None)
    alone = replica_capacity(engine(role=role), 2000.0, 130.0, None)
    assert isinstance(alone, ReplicaCapacity)
    added = found.energy_per_request_joules - alone.energy_per_request_joules
    assert added == pytest.approx(moved.bytes * JOULES_PER_BYTE_AND_END)
    assert found.latency_seconds - alone.latency_seconds == pytest.approx(moved.seconds)


@given(st.floats(1, 8000), st.floats(1.01, 4.0), st.sampled_from([Role.PREFILL, Role.DECODE]))
def test_more_tokens_move_more(tokens: float, factor: float, role: Role) -> None:
    few, many = transfer_of(engine(role=role), tokens), transfer_of(engine(role=role), tokens * factor)
    assert few is not None
    assert many is not None
    assert many.joules > few.joules
    assert many.seconds > few.seconds


@COSTLY
@given(
    st.floats(0.5, 3200),
    st.floats(1.0, 50.0),
    st.floats(50, 8000),
    st.sampled_from([Role.PREFILL, Role.DECODE]),
)
def test_a_slower_network_never_sustains_more(gbit: float, factor: float, tokens: float, role: Role) -> None:
    fast = capacity(engine(role=role, gbit=gbit * factor), tokens, 130.0, CHAT)
    slow = capacity(engine(role=role, gbit=gbit), tokens, 130.0, CHAT)
    if isinstance(fast, Rejection):
        assert isinstance(slow, Rejection)
    elif isinstance(slow, ReplicaCapacity):
        assert slow.max_requests_per_second <= fast.max_requests_per_second
        assert slow.latency_seconds >= fast.latency_seconds


@COSTLY
@given(st.floats(1.0, 400), st.floats(1.0, 400), st.floats(50, 4000))
def test_any_two_ends_that_are_offered_hold_the_ttft(prefill: float, decode: float, tokens: float) -> None:
    sender, receiver = engine(gbit=prefill), engine(role=Role.DECODE, gbit=decode)
    first, then = capacity(sender, tokens, 130.0, CHAT), capacity(receiver, tokens, 130.0, CHAT)
    sent, received = transfer_of(sender, tokens), transfer_of(receiver, tokens)
    assert sent is not None
    assert received is not None
    if not isinstance(first, Rejection) and not isinstance(then, Rejection):
        slower = max(sent.seconds, received.seconds)
        assert first.ttft_seconds - sent.seconds + slower <= CHAT.ttft_seconds * (1 + 1e-9)


def test_an_end_too_slow_for_the_ttft_is_refused_with_figures() -> None:
    for role in (Role.PREFILL, Role.DECODE):
        found = capacity(engine(role=role, gbit=10.0), 1000.0, 130.0, CHAT)
        assert isinstance(found, Rejection)
        assert found.reason is RejectionReason.TRANSFER_TOO_SLOW
        assert "131 MB" in found.detail
        assert f"{TTFT_SHARE * 1000:.0f} ms" in found.detail


def test_the_network_bounds_the_rate() -> None:
    slow = engine(role=Role.DECODE, gbit=20.0)
    moved = transfer_of(slow, 1000.0)
    assert moved is not None
    assert sustained(slow, 1000.0, None).max_requests_per_second == bytes_per_second(slow) / moved.bytes


def test_cores_have_their_part_of_the_network() -> None:
    host = CATALOG.instance("m7i.48xlarge")
    cores = Engine(
        model=engine().model,
        precision="bf16",
        instance=host,
        role=Role.DECODE,
        tensor_parallel=0,
        cpu_cores=48,
    )
    assert bytes_per_second(cores) == 50e9 / 8 / 4


def with_network(snapshot: Snapshot, gbit: float) -> Snapshot:
    pools = (
        replace(pool, instance=replace(pool.instance, network_gbit_per_s=gbit)) for pool in snapshot.pools
    )
    return replace(snapshot, pools=tuple(pools))


def test_a_slow_network_takes_disaggregation_away(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    snapshot = snapshot_of([serving_of(roles=SPLIT)], nodes_of("p5.48xlarge", 1))
    fast = make_plan(snapshot)
    assert fast.unserved == ()
    sent, received = (
        sum(item.kv_bytes_per_second for item in fast.placements if item.role.value == role) for role in SPLIT
    )
    assert sent == pytest.approx(4.0 * 131_072_000)
    assert fast.kv_bytes_per_second("demo/chat") == sent == pytest.approx(received)
    slow = make_plan(with_network(snapshot, 10.0))
    assert slow.placements == ()
    assert "TransferTooSlow" in slow.unserved[0].detail


def test_slower_networks_never_emit_less(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    snapshot = snapshot_of(
        [serving_of(roles=["both", *SPLIT], offline_rate=2.0)], nodes_of("p4de.24xlarge", 2)
    )
    exact = SearchEffort(relative_gap=0.0, time_limit_seconds=10)
    grams = [make_plan(with_network(snapshot, g), effort=exact).grams_per_hour for g in (3200.0, 40.0, 1.0)]
    assert grams == pytest.approx(sorted(grams), rel=1e-6)
