"""Requests made side by side: as many at a time as the API server answers well, and none left behind by a failure."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

ResultT = TypeVar("ResultT")

_AT_ONCE = 16
"""More would only queue at the API server."""


async def side_by_side(calls: Iterable[Callable[[], Awaitable[ResultT]]]) -> list[ResultT]:
    """Make calls, sixteen at a time, and return their results in order.

    The first that raises ends the others before it is raised here, so that none goes on beside what is done about it.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
        async with gate:
            return await call()

    tasks = [asyncio.ensure_future(one(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
