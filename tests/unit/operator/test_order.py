"""Make before break, played step by step against a pretended cluster."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.acting.order import next_steps
from ecoserve_operator.watch.records import DeploymentRecord, Key

Cluster = dict[Key, DeploymentRecord]


def wanted(pool: str, replicas: int) -> Wanted:
    return Wanted(
        namespace="n",
        serving="s",
        configuration=f"n/s/{pool}/both/tp1/online",
        pool=pool,
        selector=(),
        role="both",
        traffic_class="online",
        scheduling_class="online",
        tensor_parallel=1,
        cpu_cores=1.0,
        memory_gib=1.0,
        replicas=replicas,
    )


def runs(pool: str, replicas: int, ready: int, *, settled: bool = True) -> tuple[Key, DeploymentRecord]:
    key = wanted(pool, 1).key
    record = DeploymentRecord(
        namespace="n",
        name=key[1],
        uid=pool,
        owner_uid="u",
        pool=pool,
        configuration=f"n/s/{pool}/both/tp1/online",
        replicas=replicas,
        ready=ready,
        settled=settled,
        digest="",
    )
    return key, record


def test_the_new_comes_first_and_the_old_waits() -> None:
    steps = next_steps([wanted("new", 2)], dict([runs("old", 3, 3)]))
    assert [(each.pool, count) for each, count in steps.apply] == [("new", 2)]
    assert steps.delete == ()
    assert steps.waiting == ("2 of 2 replicas of Deployment s-new-both-tp1",)


def test_the_old_goes_once_the_new_is_ready() -> None:
    steps = next_steps([wanted("new", 2)], dict([runs("old", 3, 3), runs("new", 2, 2)]))
    assert [record.pool for record in steps.delete] == ["old"]
    assert steps.waiting == ()


def test_a_deployment_is_lowered_only_when_the_raised_one_is_ready() -> None:
    plan = [wanted("a", 1), wanted("b", 3)]
    before = next_steps(plan, dict([runs("a", 3, 3), runs("b", 1, 1)]))
    assert {each.pool: count for each, count in before.apply} == {"a": 3, "b": 3}
    after = next_steps(plan, dict([runs("a", 3, 3), runs("b", 3, 3)]))
    assert {each.pool: count for each, count in after.apply} == {"a": 1, "b": 3}


def test_what_its_controller_has_not_seen_is_not_ready() -> None:
    steps = next_steps([wanted("new", 2)], dict([runs("old", 1, 1), runs("new", 2, 2, settled=False)]))
    assert steps.delete == ()


def test_nothing_wanted_means_all_may_go() -> None:
    steps = next_steps([], dict([runs("old", 2, 2)]))
    assert [record.pool for record in steps.delete] == ["old"]


replica_counts = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 4), min_size=1)


@given(replica_counts, replica_counts, st.randoms(use_true_random=False))
def test_ready_replicas_never_fall_below_both_old_and_new_and_the_change_ends(
    old: dict[str, int], new: dict[str, int], random: Random
) -> None:
    plan = [wanted(pool, count) for pool, count in new.items()]
    cluster: Cluster = dict(runs(pool, count, count) for pool, count in old.items())
    floor = min(sum(old.values()), sum(new.values()))
    for _ in range(60):
        steps = next_steps(plan, cluster)
        for each, count in steps.apply:
            before = cluster.get(each.key)
            ready = min(before.ready, count) if before is not None else 0
            cluster[each.key] = replace(runs(each.pool, count, ready)[1])
        for record in steps.delete:
            del cluster[record.key]
        assert sum(record.ready for record in cluster.values()) >= floor
        late = [key for key, record in cluster.items() if record.ready < record.replicas]
        if not late:
            continue
        key = random.choice(late)
        cluster[key] = replace(cluster[key], ready=cluster[key].ready + 1)
    assert {record.pool: record.replicas for record in cluster.values()} == new
