"""Which offline pods give way, and to what."""

from hypothesis import given
from hypothesis import strategies as st

from ecoserve_extender.cache.records import BoundPod, NodeRecord, Requests
from ecoserve_extender.settings import Thresholds
from ecoserve_extender.thinning.choice import enough, giving_way

NODE = NodeRecord(name="n", labels={}, allocatable=Requests(10_000, 100))
THRESHOLDS = Thresholds()
NOW = 10_000.0


def pod(
    uid: str, *, millicores: int = 1_000, memory: int = 1, started: float = 1.0, owned: bool = True
) -> BoundPod:
    return BoundPod(
        uid=uid,
        namespace="d",
        name=uid,
        node="n",
        offline=True,
        keeps_node_on=True,
        requests=Requests(millicores, memory),
        started=started,
        owned=owned,
    )


def thinned(online: int, pods: list[BoundPod]) -> list[str]:
    staying, gone = list(pods), list[str]()
    for each in giving_way(NODE, Requests(online), pods, THRESHOLDS, NOW):
        if gone and enough(NODE, Requests(online), staying, len(gone), THRESHOLDS):
            break
        staying.remove(each)
        gone.append(each.uid)
    return gone


def test_half_of_the_headroom_may_be_used_before_anybody_goes():
    pods = [pod(str(number)) for number in range(8)]
    assert thinned(0, pods) == []
    assert thinned(1_000, pods) == []
    assert thinned(1_001, pods) == ["0", "1"]


def test_the_least_work_done_goes_first():
    old, young, wide = pod("old"), pod("young", started=9_900), pod("wide", millicores=6_000, started=9_950)
    assert thinned(4_000, [old, wide, young]) == ["young"]
    assert thinned(4_000, [old, wide, young, pod("not started", started=0.0)]) == ["not started"]


def test_a_pod_that_nobody_makes_anew_goes_last():
    bare = pod("bare", started=9_990, owned=False)
    assert thinned(4_000, [bare, pod("old", millicores=6_000)]) == ["old"]
    assert thinned(9_500, [bare]) == ["bare"]


def test_a_pod_whose_going_would_bring_nothing_stays():
    nothing, only_memory = pod("nothing", millicores=0, memory=0), pod("only memory", millicores=0)
    both = pod("both", millicores=2_000, started=2.0)
    assert thinned(8_000, [nothing, only_memory, both]) == ["both"]
    assert thinned(9_500, [nothing, only_memory]) == []
    assert thinned(0, [nothing, pod("memory", millicores=0, memory=95)]) == ["memory"]


def test_one_round_takes_a_part():
    assert len(thinned(9_000, [pod(str(number)) for number in range(8)])) == 2
    assert len(thinned(9_000, [pod("only")])) == 1


@given(
    st.integers(0, 20_000),
    st.lists(st.tuples(st.integers(1, 5_000), st.floats(0, NOW)), min_size=1, max_size=12),
)
def test_rounds_end_with_the_headroom_whole_or_nobody_left(online, sizes):
    left = {str(n): pod(str(n), millicores=cores, started=at) for n, (cores, at) in enumerate(sizes)}
    for _ in range(len(left) + 1):
        for uid in thinned(online, list(left.values())):
            del left[uid]
    taken = online + sum(p.requests.millicores for p in left.values())
    assert not left or taken <= 9_000
