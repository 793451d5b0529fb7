"""Where those that come in a crowd wait for each other: all objects there are, as the watches begin.

Kopf has a task for each object, holds them up until all objects of all kinds are indexed, and wakes every one that waits
whenever one more is: as often as objects squared. Tasks that wait here first wake nobody. How long
that is decides nothing but how often they are woken there.
"""

import asyncio

_QUIET_SECONDS = 0.3
"""Longer than the API server takes from one page of a list to the next."""


class Crowd:
    """Lets all go on together when nobody has come for a moment; who comes later waits for who comes with it."""

    def __init__(self, quiet_seconds: float = _QUIET_SECONDS) -> None:
        self._quiet_seconds = quiet_seconds
        self._came = 0
        self._whole = asyncio.Event()

    async def gathered(self) -> None:
        """Wait until nobody comes any more."""
        self._came += 1
        mine, whole = self._came, self._whole
        await asyncio.sleep(self._quiet_seconds)
        if mine == self._came:
            self._whole = asyncio.Event()
            whole.set()
        await whole.wait()
