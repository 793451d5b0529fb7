import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.packing import Item, aggregate_nodes, pack


def test_replicas_larger_than_half_a_node_take_one_each() -> None:
    packing = pack([Item("big", (5.0, 0.0), 4)], (8.0, 4.0))
    assert (packing.nodes, packing.least_nodes) == (4, 4)
    assert aggregate_nodes([Item("big", (5.0, 0.0), 4)], (8.0, 4.0)) == 3


def test_what_first_fit_misses_the_exact_search_finds() -> None:
    items = [
        Item(f"i{size}", (float(size),), count) for size, count in ((6, 1), (5, 2), (4, 3), (3, 1), (2, 1))
    ]
    assert sum(item.amounts[0] * item.count for item in items) == 33
    packing = pack(items, (11.0,))
    assert packing.nodes == 3


def test_nothing_takes_no_node() -> None:
    assert pack([Item("none", (1.0,), 0), Item("free", (0.0,), 7)], (8.0,)).nodes == 0


amounts = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0])


@given(
    kinds=st.lists(st.tuples(amounts, amounts, st.integers(0, 4)), max_size=4),
    capacity=st.just((8.0, 7.0)),
)
def test_a_packing_holds_everything_and_overfills_nothing(
    kinds: list[tuple[float, float, int]], capacity: tuple[float, float]
) -> None:
    items = [Item(f"k{i}", (first, second), count) for i, (first, second, count) in enumerate(kinds)]
    packing = pack(items, capacity)
    sizes = {item.name: item.amounts for item in items}
    for contents in packing.contents:
        for index, have in enumerate(capacity):
            assert sum(sizes[name][index] for name in contents) <= have + 1e-9
    for item in items:
        placed = sum(contents.count(item.name) for contents in packing.contents)
        assert placed == (item.count if any(item.amounts) else 0)
    assert aggregate_nodes(items, capacity) <= packing.least_nodes <= packing.nodes


@pytest.mark.parametrize("count", [1, 8, 9])
def test_equal_replicas_fill_nodes(count: int) -> None:
    assert pack([Item("one", (1.0, 4.0), count)], (8.0, 96.0)).nodes == -(-count // 8)
