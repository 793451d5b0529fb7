"""Changes that stand still: when that is so, whose replicas stay for the planner, and when a change is stuck."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ecoserve.api import GridZone
from ecoserve.api.manifests import parse_serving
from ecoserve.catalog import load_catalog
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot, serving_demand
from ecoserve.fleet.nodes import NodeFacts, Resources
from ecoserve.fleet.snapshot import Snapshot
from ecoserve_operator.acting.standstill import Progress, Standstills
from ecoserve_operator.watch.records import DeploymentRecord

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
NAME = "n/chat"
WAIT, LASTING = 180.0, 3600.0


def deployment(pool: str, replicas: int, ready: int, *, settled: bool = True) -> DeploymentRecord:
    return DeploymentRecord(
        namespace="n",
        name=pool,
        uid=pool,
        owner_uid="u",
        pool=pool,
        configuration=pool,
        replicas=replicas,
        ready=ready,
        settled=settled,
        digest="",
    )


def progress(
    *runs: DeploymentRecord, placed: Mapping[str, int], lacking: str = "full", giving: str = "full"
) -> Progress:
    return Progress(
        moves=False,
        late=False,
        lacking=frozenset([lacking] if lacking else []),
        giving=frozenset([giving] if giving else []),
        state={each.key: each for each in runs},
        placed={("n", pool): count for pool, count in placed.items()},
    )


STANDS = progress(deployment("old", 3, 3), deployment("full", 2, 0), placed={"old": 3})


def world(rate: float = 6.0, nodes: int = 1) -> Snapshot:
    body = {
        "metadata": {"name": "chat", "namespace": "n"},
        "spec": {
            "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
            "online": {
                "slo": {"ttft": "2s", "tpot": "100ms"},
                "load": {"requestsPerSecond": rate, "lengths": "azure-code-2023"},
            },
            "policy": {"mode": "Recommend"},
        },
    }
    labels = {"node.kubernetes.io/instance-type": "g6.48xlarge", "topology.kubernetes.io/zone": "west"}
    allocatable = Resources(gpu=8, cpu=190, memory_gib=700)
    zone = {"metadata": {"name": "west"}, "spec": {"intensity": {"gramsPerKilowattHour": 1}}}
    catalog = load_catalog()
    return assemble_snapshot(
        [serving_demand(parse_serving(body), catalog, NOW)],
        [NodeFacts(name=f"n{k}", labels=labels, allocatable=allocatable) for k in range(nodes)],
        [ZoneReading(grid=GridZone.model_validate(zone), grams_per_kwh=300.0)],
        [],
        catalog,
        NOW,
    )


def note(found: Standstills, servings: Mapping[str, Progress], now: float) -> frozenset[str]:
    """Take down how changes stand where all that are ripe are refused room."""
    return found.note(found.ripe(servings, now))


def kept() -> Standstills:
    """A serving's change has stood for as long as it may, and its replicas stay since time 200."""
    found = Standstills(WAIT, LASTING)
    assert not note(found, {NAME: STANDS}, 0.0)
    assert note(found, {NAME: STANDS}, 200.0) == {NAME}
    assert found.stays(world(), 200.0) == {NAME}
    return found


@pytest.mark.parametrize(
    ("item", "without_room"),
    [
        (STANDS, True),
        (replace(STANDS, moves=True), False),
        (replace(STANDS, lacking=frozenset()), False),
        (replace(STANDS, giving=frozenset()), False),
        (progress(deployment("old", 3, 3), deployment("full", 2, 0), placed={"old": 3, "full": 2}), False),
        (progress(deployment("old", 3, 3), deployment("full", 2, 0), placed={"old": 3, "full": 1}), False),
        (progress(deployment("old", 3, 3), deployment("full", 2, 1), placed={"old": 3, "full": 1}), True),
        (progress(deployment("old", 3, 3), deployment("full", 2, 0), placed={"old": 4}), False),
        (progress(deployment("full", 2, 0, settled=False), placed={}), False),
    ],
    ids=[
        "pending",
        "moves",
        "nothing awaited",
        "nothing replaced",
        "loading",
        "one loads",
        "one fits",
        "ending",
        "unsettled",
    ],
)
def test_what_stands_still_is_awaited_and_on_no_node(item: Progress, without_room: bool) -> None:
    assert item.without_room is without_room


def test_replicas_stay_after_the_wait_and_no_earlier() -> None:
    found = Standstills(WAIT, LASTING)
    assert not note(found, {NAME: STANDS}, 0.0)
    assert found.seconds_until_due(30.0) == WAIT - 30.0
    assert not note(found, {NAME: STANDS}, WAIT - 1.0)
    assert not found.stays(world(), WAIT - 1.0)
    assert note(found, {NAME: STANDS}, WAIT) == {NAME}
    assert found.stays(world(), WAIT) == {NAME}


def test_what_nobody_refuses_room_goes_on_and_is_asked_about_again_after_another_wait() -> None:
    found = Standstills(WAIT, LASTING)
    assert not found.ripe({NAME: STANDS}, 0.0)
    assert found.ripe({NAME: STANDS}, WAIT) == {NAME}
    assert not found.note(frozenset())
    assert not found.stays(world(), WAIT)
    assert found.seconds_until_due(WAIT) == WAIT
    assert not found.ripe({NAME: STANDS}, 2 * WAIT - 1.0)
    assert found.ripe({NAME: STANDS}, 2 * WAIT) == {NAME}


def test_what_moves_begins_to_wait_anew() -> None:
    found = Standstills(WAIT, LASTING)
    note(found, {NAME: STANDS}, 0.0)
    moved = replace(
        STANDS, state={**STANDS.state, ("n", "old"): deployment("old", 2, 2)}, placed={("n", "old"): 2}
    )
    assert not note(found, {NAME: moved}, WAIT)
    assert note(found, {NAME: moved}, 2 * WAIT) == {NAME}


def test_room_that_another_is_about_to_give_is_waited_for() -> None:
    loads = progress(
        deployment("elsewhere", 1, 0), placed={"elsewhere": 1}, lacking="elsewhere", giving="full"
    )
    found = Standstills(WAIT, LASTING)
    for time in (0.0, WAIT, 2 * WAIT):
        assert not note(found, {NAME: STANDS, "n/other": loads}, time)
    stands = replace(STANDS)
    assert not note(found, {NAME: STANDS, "n/other": stands}, 3 * WAIT), "each waits for the other's room"
    assert note(found, {NAME: STANDS, "n/other": stands}, 4 * WAIT) == {NAME, "n/other"}


def test_room_of_one_that_is_late_is_waited_for_no_longer() -> None:
    fails = progress(deployment("elsewhere", 1, 0), placed={"elsewhere": 1}, lacking="elsewhere")
    found = Standstills(WAIT, LASTING)
    assert not note(found, {NAME: STANDS, "n/other": fails}, WAIT)
    late = replace(fails, late=True)
    assert not note(found, {NAME: STANDS, "n/other": late}, 2 * WAIT)
    assert note(found, {NAME: STANDS, "n/other": late}, 3 * WAIT) == {NAME}


def test_replicas_stay_for_an_hour_or_until_there_are_other_nodes_or_less_load() -> None:
    assert kept().stays(world(), 200.0 + LASTING - 1.0) == {NAME}
    assert not kept().stays(world(), 200.0 + LASTING)
    assert not kept().stays(world(nodes=2), 201.0)
    assert not kept().stays(world(rate=5.9), 201.0)
    assert kept().stays(world(rate=9.0), 201.0) == {NAME}


def test_a_change_that_stands_though_its_replicas_were_to_stay_is_stuck_until_it_is_through() -> None:
    found = kept()
    assert not note(found, {NAME: STANDS}, 300.0)
    assert not found.stuck(NAME)
    assert note(found, {NAME: STANDS}, 200.0 + WAIT) == {NAME}
    assert found.stuck(NAME)
    assert not note(found, {NAME: STANDS}, 200.0 + 2 * WAIT), "told once"
    note(found, {NAME: replace(STANDS, moves=True)}, 600.0)
    assert found.stuck(NAME), "room is being made"
    note(found, {NAME: replace(STANDS, lacking=frozenset())}, 700.0)
    assert not found.stuck(NAME)


def test_a_stuck_change_begins_anew_with_other_nodes() -> None:
    found = kept()
    note(found, {NAME: STANDS}, 200.0 + WAIT)
    assert found.stuck(NAME)
    assert not found.stays(world(nodes=2), 400.0)
    assert not found.stuck(NAME)
