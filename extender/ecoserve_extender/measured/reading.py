"""Reads measured use again and again."""

import asyncio
import logging
from collections.abc import Awaitable

from prometheus_client import Counter

from ecoserve_extender.measured.use import MeasuredUse, SourceError, UseSource

logger = logging.getLogger(__name__)


async def keep_measured(
    measured: MeasuredUse, source: UseSource, seconds: float, readings: Counter, synced: Awaitable[None]
) -> None:
    """Read the source every so many seconds once caches are `synced`, until cancelled.

    Before, no offline pod is known, and all that they use would count as online: for a quarter of an hour.
    Says once when use can't be had, and once when it can be again.
    """
    await synced
    failing: str | None = None
    while True:
        try:
            measured.take(await source.read())
        except SourceError as error:
            readings.labels("failed").inc()
            if failing != str(error):
                logger.warning("measured use can't be had", extra={"error": str(error)})
            failing = str(error)
        else:
            readings.labels("taken").inc()
            if failing is not None:
                logger.info("measured use is there again")
            failing = None
        await asyncio.sleep(seconds)
