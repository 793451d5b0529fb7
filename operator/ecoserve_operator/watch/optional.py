"""Kinds of others' that a cluster may have or not: their CRDs come and go while the operator runs.

Kopf knows the kinds there were when it began, and ends where one of them goes. So these are asked for, every few seconds:
whether the API server serves them, and which ScaledObjects there are. Nothing hangs on seconds, as
KEDA makes a HorizontalPodAutoscaler of each ScaledObject, and that is watched.
"""

import asyncio
import logging
from collections.abc import Callable

from ecoserve_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_POOL,
    SCALED_OBJECT,
    ApiRefusedError,
    ApiUnreachableError,
    Kind,
    KubeApi,
)
from ecoserve_operator.watch.records import Key
from ecoserve_operator.watch.scalers import ScalerRecord, scaled_object_record
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_FORBIDDEN = 403
_KINDS = (SCALED_OBJECT, HTTP_ROUTE, INFERENCE_POOL)


class OptionalKinds:
    """Follows which of them are served; `changed` is told of each that has come or gone since the first look.

    `seen` is set after the first look, also where that is forbidden: before it, what KEDA scales would be taken for
    ours to scale.
    """

    def __init__(self, api: KubeApi, world: World, changed: Callable[[Kind], None]) -> None:
        self._api = api
        self._world = world
        self._changed = changed
        self._served: dict[Kind, bool] = {}
        self.seen = asyncio.Event()

    async def run(self) -> None:
        """Look every few seconds, for ever; what was seen last counts while the API server does not answer."""
        told = ""
        while True:
            problem = ""
            try:
                await self.look()
            except (ApiRefusedError, ApiUnreachableError) as error:
                problem = str(error)
                if isinstance(error, ApiRefusedError) and error.status == _FORBIDDEN:
                    self.seen.set()  # no waiting helps: the autoscalers of KEDA have to do
            if problem and problem != told:
                logger.warning("kinds of other projects are left as they were last seen: %s", problem)
            told = problem
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Bring the world up to what there is now. Raises ApiRefusedError and ApiUnreachableError."""
        for kind in _KINDS:
            is_served = await self._api.serves(kind)
            if self._served.get(kind, is_served) != is_served:
                logger.info("%s of %s are %s", kind.plural, kind.group, "served now" if is_served else "gone")
                self._changed(kind)
                self._world.nudges.give(f"{kind.plural} {'came' if is_served else 'went'}")
            self._served[kind] = is_served
        await self._read_scaled_objects()
        self.seen.set()

    async def _read_scaled_objects(self) -> None:
        there: dict[Key, ScalerRecord] = {}
        if self._served[SCALED_OBJECT]:
            for body in await self._api.list(SCALED_OBJECT):
                metadata = body["metadata"]
                there[metadata["namespace"], metadata["name"]] = scaled_object_record(body)
        table = self._world.scaled_objects
        for key in sorted(table.keys() | there.keys()):
            self._world.put(table, key, there.get(key), f"ScaledObject {key[0]}/{key[1]}")
