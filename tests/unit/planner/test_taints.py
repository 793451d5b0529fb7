"""Tainted nodes: planned for only where a serving's pods tolerate them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ecoserve.api.taints import Taint, Toleration
from ecoserve.fleet.nodes import NodeFacts
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.explanation import UnservedReason
from ecoserve.planner.plan import make_plan

Make = Callable[..., Any]
TEAM, GPU = Taint("team", "a"), Taint("nvidia.com/gpu", "present")
TEAM_TOLERATED = (Toleration(key="team", value="a"),)


def with_taints(nodes: Sequence[NodeFacts], *taints: Taint) -> list[NodeFacts]:
    return [replace(node, taints=taints) for node in nodes]


def tolerating(
    snapshot: Snapshot, own: Sequence[Toleration], on_cores: Sequence[Toleration] = ()
) -> Snapshot:
    servings = (
        replace(serving, tolerations=tuple(own), cpu_tolerations=tuple(on_cores))
        for serving in snapshot.servings
    )
    return replace(snapshot, servings=tuple(servings))


def test_a_tainted_pool_is_used_only_where_its_taint_is_tolerated(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    """The H100s serve cheapest, and are another team's."""
    fleet = [*with_taints(nodes_of("p5.48xlarge", 1), TEAM), *nodes_of("g6.48xlarge", 2, "east")]
    snapshot = snapshot_of([serving_of(tpot="100ms")], fleet, east=900.0)
    kept_off, let_in = make_plan(snapshot), make_plan(tolerating(snapshot, TEAM_TOLERATED))
    assert {item.pool for item in kept_off.placements} == {"g6-48xlarge.east"}
    assert kept_off.unserved == ()
    assert {item.pool for item in let_in.placements} == {"p5-48xlarge.west"}


def test_where_every_pool_is_tainted_the_reason_says_so(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = snapshot_of([serving_of()], with_taints(nodes_of("p5.48xlarge", 1), TEAM))
    (missing,) = make_plan(snapshot).unserved
    assert missing.reason is UnservedReason.NOT_TOLERATED
    assert "team=a:NoSchedule" in missing.detail


def test_accelerators_own_taint_keeps_off_cores_but_not_devices(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    """On a grid without carbon, cores of GPU hosts would serve offline work for nothing."""
    snapshot = snapshot_of(
        [serving_of(rate=1.0, offline_rate=0.3)], with_taints(nodes_of("p5.48xlarge", 1), GPU), west=0.0
    )
    plan = make_plan(snapshot)
    assert plan.unserved == ()
    assert all(item.tensor_parallel for item in plan.placements)
    assert plan.reuse == ()
    everywhere = (Toleration(exists=True),)
    assert {item.pool for item in make_plan(tolerating(snapshot, (), everywhere)).reuse} == {
        "p5-48xlarge.west"
    }
