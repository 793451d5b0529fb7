"""Requests side by side: results in order, a bounded number at a time, and none that outlives a failure."""

import asyncio
from functools import partial

import pytest

from ecoserve_operator.side_by_side import side_by_side


def test_results_come_in_order_and_never_more_than_sixteen_are_under_way() -> None:
    under_way, most = 0, 0

    async def call(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(100 - number):
            await asyncio.sleep(0)
        under_way -= 1
        return number

    assert asyncio.run(side_by_side(partial(call, number) for number in range(100))) == list(range(100))
    assert most == 16


def test_a_failure_ends_the_others_before_it_is_told() -> None:
    ended: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("gone")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def run() -> None:
        with pytest.raises(ConnectionError, match="gone"):
            await side_by_side((waits, fails, waits))
        assert ended == ["waits", "waits"]

    asyncio.run(run())
