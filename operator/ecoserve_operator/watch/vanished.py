"""What vanished while nobody watched.

A watch that can't be resumed (410 Gone: the API server restarted, or was away for long) begins with a list again. Kopf
tells of each object in that list, but not of those that are not in it any more; they would stay in the world for ever:
nodes that servings are placed on, LLMServings whose Deployments are made anew. So once an object is told of as if for
the first time again, the names of all kinds are listed, and what is not among them is forgotten.
"""

import asyncio
import logging
from collections.abc import Sequence

from ecoserve_operator.kube import ApiRefusedError, ApiUnreachableError, KubeApi
from ecoserve_operator.watch.handlers import Watched
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 1.0
"""The watches of all kinds break together mostly: one look for all of them."""
_RETRY_SECONDS = 5.0


class Vanished:
    """Looks for what has vanished, where it is asked to."""

    def __init__(self, api: KubeApi, world: World, kinds: Sequence[Watched]) -> None:
        self._api = api
        self._world = world
        self._kinds = kinds
        self._asked = asyncio.Event()

    def look(self) -> None:
        """Ask for a look at all kinds."""
        self._asked.set()

    async def run(self) -> None:
        """Look whenever it was asked for, for ever; again where the API server does not answer."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._asked.clear()
            try:
                for watched in self._kinds:
                    await self.forget_vanished(watched)
            except (ApiRefusedError, ApiUnreachableError) as error:
                logger.warning("what vanished while watches were broken is looked for again: %s", error)
                self._asked.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def forget_vanished(self, watched: Watched) -> None:
        """Forget what is in the table but not in the API; what the watch has told of meanwhile is left."""
        before = dict(watched.table)
        there = await self._api.names(watched.kind, watched.selectors)
        gone = [
            key for key, record in before.items() if key not in there and watched.table.get(key) is record
        ]
        for key in gone:
            watched.forget(self._world, key)
        if gone:
            logger.info("%d %s vanished while their watch was broken", len(gone), watched.kind.plural)
