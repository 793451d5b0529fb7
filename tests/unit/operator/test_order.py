"""Make before break in steps, played against a pretended cluster with or without room."""

from dataclasses import dataclass, field, replace
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.acting.order import Steps, next_steps
from ecoserve_operator.watch.records import DeploymentRecord, Key


def wanted(
    pool: str,
    replicas: int,
    each: float = 1.0,
    rate: float | None = None,
    role: str = "both",
    traffic_class: str = "online",
) -> Wanted:
    """Replicas that sustain `each` and have `rate` planned on them, all that they sustain where it is not told."""
    return Wanted(
        namespace="n",
        serving="s",
        configuration=f"n/s/{pool}/{role}/tp1/{traffic_class}",
        pool=pool,
        selector=(),
        role=role,
        traffic_class=traffic_class,
        scheduling_class="online",
        tensor_parallel=1,
        cpu_cores=1.0,
        memory_gib=1.0,
        replicas=replicas,
        requests_per_second=replicas * each if rate is None else rate,
        replica_requests_per_second=each,
    )


def record(item: Wanted, replicas: int, ready: int, *, settled: bool = True) -> DeploymentRecord:
    return DeploymentRecord(
        namespace="n",
        name=item.key[1],
        uid=item.pool,
        owner_uid="u",
        pool=item.pool,
        configuration=item.configuration,
        replicas=replicas,
        ready=ready,
        settled=settled,
        digest="",
        role=item.role,
        traffic_class=item.traffic_class,
        replica_requests_per_second=item.replica_requests_per_second,
    )


def runs(item: Wanted, replicas: int, ready: int, *, settled: bool = True) -> tuple[Key, DeploymentRecord]:
    return item.key, record(item, replicas, ready, settled=settled)


def counts(steps: Steps) -> dict[str, int | None]:
    """What the steps leave of each Deployment they touch, by pool."""
    return (
        {each.pool: count for each, count in steps.apply}
        | {each.pool: count for each, count in steps.lower}
        | {each.pool: 0 for each in steps.delete}
    )


def test_the_new_comes_first_and_the_old_waits() -> None:
    steps = next_steps([wanted("new", 3)], dict([runs(wanted("old", 3), 3, 3)]))
    assert counts(steps) == {"new": 3}
    assert steps.waiting == ("3 of 3 replicas of Deployment s-new-both-tp1",)


def test_as_much_of_the_old_goes_as_the_ready_new_carries() -> None:
    steps = next_steps([wanted("new", 3)], dict([runs(wanted("old", 3), 3, 3), runs(wanted("new", 3), 3, 2)]))
    assert counts(steps) == {"new": 3, "old": 1}


def test_replicas_count_by_what_they_sustain() -> None:
    new = wanted("new", 2, each=4.0, rate=7.0)
    steps = next_steps([new], dict([runs(wanted("old", 7), 7, 7), runs(new, 2, 1)]))
    assert counts(steps) == {"new": 2, "old": 3}


def test_what_runs_beyond_need_makes_room_at_once() -> None:
    new = wanted("new", 4, each=2.0, rate=6.0)
    assert counts(next_steps([new], dict([runs(wanted("old", 8), 8, 8)]))) == {"new": 4, "old": 6}


def test_the_old_goes_once_the_new_is_ready() -> None:
    steps = next_steps([wanted("new", 2)], dict([runs(wanted("old", 3), 3, 3), runs(wanted("new", 2), 2, 2)]))
    assert counts(steps) == {"new": 2, "old": 0}
    assert steps.waiting == ()


@pytest.mark.parametrize(("dip", "left"), [(0.0, 4), (0.3, 3), (0.5, 2), (0.99, 1), (1.0, 0)])
def test_a_dip_takes_no_more_than_its_share_however_often_it_is_asked_for(dip: float, left: int) -> None:
    new, old = wanted("new", 1, each=4.0), wanted("old", 4)
    have = 4
    for _ in range(3):
        have = (
            counts(next_steps([new], dict([runs(old, have, have), runs(new, 1, 0)]), dip=dip)).get(
                "old", have
            )
            or 0
        )
    assert have == left


def test_old_replicas_that_are_not_ready_go_first() -> None:
    steps = next_steps([wanted("new", 2)], dict([runs(wanted("old", 5), 5, 2)]))
    assert counts(steps) == {"new": 2, "old": 2}


def test_a_deployment_is_lowered_only_as_the_raised_one_gets_ready() -> None:
    plan = [wanted("a", 1), wanted("b", 3)]
    seen = [
        counts(next_steps(plan, dict([runs(plan[0], 4, 4), runs(plan[1], 3, ready)]))) for ready in (0, 1, 3)
    ]
    assert seen == [{"a": 4, "b": 3}, {"a": 3, "b": 3}, {"a": 1, "b": 3}]


def test_the_surge_limits_what_starts_at_a_time() -> None:
    plan = [wanted("new", 8)]
    old = runs(wanted("old", 8), 8, 8)
    assert counts(next_steps(plan, dict([old]), 0.25)) == {"new": 2}
    assert counts(next_steps(plan, dict([old, runs(plan[0], 2, 1)]), 0.25)) == {"new": 3, "old": 7}
    assert counts(next_steps(plan, dict([old]), 0.01)) == {"new": 1}


@pytest.mark.parametrize("settled", [True, False])
def test_what_its_controller_has_not_seen_is_not_ready(settled: bool) -> None:
    new = wanted("new", 2)
    steps = next_steps([new], dict([runs(wanted("old", 1), 1, 1), runs(new, 2, 2, settled=settled)]))
    assert bool(steps.delete) is settled


def test_what_is_just_being_changed_is_left_to_that() -> None:
    new = wanted("new", 3)
    assert counts(
        next_steps([new], dict([runs(wanted("old", 3), 3, 3, settled=False), runs(new, 3, 2)]))
    ) == {"new": 3}


def test_what_does_not_say_what_it_sustains_stays_to_the_end() -> None:
    key, old = runs(wanted("old", 3), 3, 3)
    untold = {key: replace(old, replica_requests_per_second=None)}
    new = wanted("new", 3)
    assert counts(next_steps([new], untold | dict([runs(new, 3, 2)]))) == {"new": 3}
    assert counts(next_steps([new], untold | dict([runs(new, 3, 3)]))) == {"new": 3, "old": 0}


def test_each_phase_keeps_what_it_needs() -> None:
    split = [wanted("p", 1, each=3.0, role="prefill"), wanted("d", 3, role="decode")]
    old = runs(wanted("old", 3), 3, 3)
    half = dict([old, runs(split[0], 1, 1), runs(split[1], 3, 1)])
    assert counts(next_steps(split, half)) == {"p": 1, "d": 3, "old": 2}


def test_ready_offline_replicas_are_none_for_online_traffic() -> None:
    plan = [wanted("new", 2), wanted("batch", 5, traffic_class="offline")]
    state = dict([runs(wanted("old", 2), 2, 2), runs(plan[1], 5, 5), runs(plan[0], 2, 0)])
    assert counts(next_steps(plan, state)) == {"new": 2, "batch": 5}


def test_one_replica_without_load_stays_until_another_is_ready() -> None:
    idle = wanted("new", 1, rate=0.0)
    old = replace(wanted("old", 2), replica_requests_per_second=0.0)
    assert counts(next_steps([idle], dict([runs(old, 2, 2)]))) == {"new": 1, "old": 1}


def test_nothing_wanted_means_all_may_go() -> None:
    steps = next_steps([], dict([runs(wanted("old", 2), 2, 2)]))
    assert counts(steps) == {"old": 0}


def test_what_others_scale_is_neither_awaited_nor_taken_away() -> None:
    plan = [wanted("mine", 2), wanted("theirs", 4)]
    gone = wanted("gone", 3)
    state = dict([runs(wanted("old", 2), 2, 2), runs(plan[1], 1, 1), runs(gone, 6, 6)])
    scaled = {plan[1].key, gone.key}
    steps = next_steps(plan, state, scaled=scaled)
    assert dict(counts(steps)) == {"mine": 2, "theirs": None, "old": 0}, "gone's ready replicas carry old's"
    assert steps.waiting == ("2 of 2 replicas of Deployment s-mine-both-tp1",)
    steps = next_steps(plan, state | dict([runs(plan[0], 2, 2)]), scaled=scaled)
    assert (counts(steps), steps.waiting) == ({"mine": 2, "theirs": None, "old": 0}, ())


def test_replicas_on_cordoned_nodes_are_doubled_until_they_have_gone() -> None:
    plan = [wanted("a", 4)]
    key = plan[0].key
    before = next_steps(plan, dict([runs(plan[0], 4, 4)]), leaving={key: 3})
    assert (counts(before), before.waiting) == ({"a": 7}, ("3 of 7 replicas of Deployment s-a-both-tp1",))
    ready = next_steps(plan, dict([runs(plan[0], 7, 7)]), leaving={key: 3})
    assert (counts(ready), ready.waiting) == ({"a": 7}, ())
    assert counts(next_steps(plan, dict([runs(plan[0], 7, 7)]), leaving={key: 1})) == {"a": 5}
    assert counts(next_steps(plan, dict([runs(plan[0], 5, 5)]))) == {"a": 4}


def test_a_plan_that_meets_a_part_takes_nothing_away_that_is_ready() -> None:
    gone = dict([runs(wanted("cordoned", 3), 3, 3), runs(wanted("lost", 2), 2, 0)])
    assert counts(next_steps([], gone, partial=True)) == {"lost": 0}
    some = wanted("some", 1)
    assert counts(next_steps([some], gone | dict([runs(some, 1, 1)]), partial=True)) == {"some": 1, "lost": 0}


@dataclass
class Cluster:
    """Deployments on devices that are all alike; what finds no device is pending."""

    devices: int
    sizes: dict[str, int]
    deployments: dict[Key, DeploymentRecord] = field(default_factory=dict)
    started: dict[Key, int] = field(default_factory=dict)
    """Replicas that have a device, ready or not."""

    def carry_out(self, steps: Steps) -> None:
        for each, count in steps.apply:
            assert count is not None
            before = self.deployments.get(each.key)
            self.deployments[each.key] = record(each, count, before.ready if before is not None else 0)
        for old, count in steps.lower:
            self.deployments[old.key] = replace(old, replicas=count)
        for old in steps.delete:
            del self.deployments[old.key]
        self.started = {
            key: min(count, self.deployments[key].replicas)
            for key, count in self.started.items()
            if key in self.deployments
        }
        for key, item in self.deployments.items():
            self.deployments[key] = replace(item, ready=min(item.ready, item.replicas))

    def go_on(self, random: Random) -> bool:
        """One replica finds a device, or one that has one gets ready; False where neither can be."""
        used = sum(self.sizes[self.deployments[key].pool] * count for key, count in self.started.items())
        may_start = [
            key
            for key, item in self.deployments.items()
            if self.started.get(key, 0) < item.replicas and used + self.sizes[item.pool] <= self.devices
        ]
        may_be_ready = [k for k, item in self.deployments.items() if item.ready < self.started.get(k, 0)]
        if not may_start and not may_be_ready:
            return False
        key = random.choice(may_start + may_be_ready)
        if key in may_start:
            self.started[key] = self.started.get(key, 0) + 1
        else:
            item = self.deployments[key]
            self.deployments[key] = replace(item, ready=item.ready + 1)
        return True

    def sustained(self) -> float:
        return sum(
            item.ready * (item.replica_requests_per_second or 0.0) for item in self.deployments.values()
        )


def change(cluster: Cluster, plan: list[Wanted], surge: float, random: Random) -> float:
    """Play a change to its end, or to where nothing goes on; the least that was sustained on the way."""
    least = cluster.sustained()
    for _ in range(400):
        before = dict(cluster.deployments)
        cluster.carry_out(next_steps(plan, cluster.deployments, surge))
        least = min(least, cluster.sustained())
        if not cluster.go_on(random) and cluster.deployments == before:
            return least
    raise AssertionError("the change never comes to rest")


def ended(cluster: Cluster) -> dict[str, int]:
    return {item.pool: item.ready for item in cluster.deployments.values()}


kinds = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.tuples(st.integers(1, 5), st.sampled_from([0.5, 1.0, 3.0])),
    min_size=1,
)
surges = st.sampled_from([0.01, 0.25, 1.0])


def start(old: dict[str, tuple[int, float]], sizes: dict[str, int], devices: int) -> Cluster:
    cluster = Cluster(devices, sizes)
    for pool, (replicas, each) in old.items():
        item = wanted(pool, replicas, each)
        cluster.deployments[item.key] = record(item, replicas, replicas)
        cluster.started[item.key] = replicas
    return cluster


@given(kinds, kinds, surges, st.floats(0.5, 1.0), st.randoms(use_true_random=False))
def test_with_room_every_change_ends_and_never_goes_below_need(
    old: dict[str, tuple[int, float]],
    new: dict[str, tuple[int, float]],
    surge: float,
    used: float,
    random: Random,
) -> None:
    """What a kind of replica sustains is the same in both plans, the rate planned a part of what all sustain."""
    new = {pool: (count, old[pool][1] if pool in old else each) for pool, (count, each) in new.items()}
    plan = [wanted(pool, count, each, rate=used * count * each) for pool, (count, each) in new.items()]
    cluster = start(old, dict.fromkeys("abc", 1), devices=100)
    need = sum(item.requests_per_second for item in plan)
    floor = min(cluster.sustained(), need)
    assert change(cluster, plan, surge, random) >= floor * (1 - 1e-6)
    assert ended(cluster) == {pool: count for pool, (count, _) in new.items()}


@given(st.integers(1, 4), st.integers(0, 6), st.floats(0.5, 1.0), surges, st.randoms(use_true_random=False))
def test_without_room_it_goes_on_step_by_step_or_stays_above_need(
    large: int, spare: int, used: float, surge: float, random: Random
) -> None:
    """Replicas of one device give way to such of two devices that sustain twice as much, on the same node."""
    small = 2 * large
    plan = [wanted("b", large, each=2.0, rate=used * small)]
    cluster = start({"a": (small, 1.0)}, {"a": 1, "b": 2}, devices=small + spare)
    assert change(cluster, plan, surge, random) >= used * small * (1 - 1e-6)
    room = spare + small - ceil(used * small - 1e-6)
    if room >= 2:
        assert ended(cluster) == {"b": large}, "the first step fits, and each makes room for the next"
    else:
        assert ended(cluster).get("a", 0) >= 1


def test_what_all_or_nothing_could_not_do_is_done_in_parts() -> None:
    """Eight devices, all taken: six small replicas' worth of load moves to four of two devices."""
    cluster = start({"a": (8, 1.0)}, {"a": 1, "b": 2}, devices=8)
    least = change(cluster, [wanted("b", 4, each=2.0, rate=6.0)], 1.0, Random(0))  # noqa: S311 - an order, no secret
    assert least == 6.0
    assert ended(cluster) == {"b": 4}
