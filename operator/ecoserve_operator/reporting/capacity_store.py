"""Capacities in ConfigMaps: what one operator has found, the next begins with.

To search them takes most of the time from a start to the first plan. Each ConfigMap holds a document of its own (`performance.kept`),
so that one that is broken, or of another version's model, costs nothing but its own answers. They are written some
seconds after something was found, and else never; as the operator may delete no ConfigMaps, one that is needed no more stays as it is.
"""

import asyncio
import binascii
import itertools
import logging
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from ecoserve.api.labels import CAPACITIES_NAME
from ecoserve.performance import Answer
from ecoserve.performance.kept import decode, encode
from ecoserve_operator.kube import CONFIG_MAP, ApiRefusedError, ApiUnreachableError, KubeApi
from ecoserve_operator.planning.capacities import FORGOTTEN_AT_ONCE, MOST_KEPT, Capacities
from ecoserve_operator.reporting.instances import config_map, part_names

logger = logging.getLogger(__name__)

FILE = "capacities.json.z"
_PART_ANSWERS = FORGOTTEN_AT_ONCE
"""Some 70 bytes each: a third of what a ConfigMap holds. Parts keep their answers while none are forgotten."""
_GATHER_SECONDS = 10.0
"""A process finds them in pieces of seconds, comparisons more of them."""
_RETRY_SECONDS = 60.0


class CapacityStore:
    """The ConfigMaps of one namespace; remembers what was written last, and writes nothing twice.

    `plan_uid` tells the uid of the current PlacementPlan, with which they go, or nothing before there is one.
    """

    def __init__(
        self, api: KubeApi, namespace: str, capacities: Capacities, plan_uid: Callable[[], str]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._capacities = capacities
        self._plan_uid = plan_uid
        self._written: dict[str, tuple[str, bytes]] = {}

    async def restore(self) -> None:
        """Hand over what an operator before this one has found; whatever keeps it from us, it is found again."""
        try:
            known = await self._read()
        except (ApiRefusedError, ApiUnreachableError) as error:
            logger.warning("capacities of replicas are found anew, as those kept can't be read: %s", error)
            return
        self._capacities.take_over(known)
        if known:
            logger.info("capacities of replicas: %d known from before", len(known))

    async def run(self) -> None:
        """Keep what is found, for ever."""
        while True:
            await self._capacities.news.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            if not self._plan_uid():
                continue
            self._capacities.news.clear()
            try:
                await self._write()
            except (ApiRefusedError, ApiUnreachableError) as error:
                logger.warning("capacities of replicas are not kept for the next start: %s", error)
                self._capacities.news.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _read(self) -> dict[bytes, Answer]:
        known: dict[bytes, Answer] = {}
        for name in _names(MOST_KEPT):
            part = await self._api.get(CONFIG_MAP, name, self._namespace)
            if part is None:
                break
            known |= decode(_content(part))
        return known

    async def _write(self) -> None:
        answers, uid = iter(self._capacities.known.items()), self._plan_uid()
        for name in _names(len(self._capacities)):
            document = encode(dict(itertools.islice(answers, _PART_ANSWERS)))
            written = (uid, sha256(document).digest())
            if written != self._written.get(name):
                await self._api.apply(
                    CONFIG_MAP, config_map(name, self._namespace, uid, {}, {FILE: document})
                )
                self._written[name] = written


def _names(answers: int) -> list[str]:
    """Return the names of the ConfigMaps that so many answers take."""
    return part_names(CAPACITIES_NAME, -(-answers // _PART_ANSWERS))


def _content(part: dict[str, Any]) -> bytes:
    """Return the document in a ConfigMap, nothing where there is none."""
    try:
        return b64decode((part.get("binaryData") or {}).get(FILE, ""))
    except (binascii.Error, TypeError, ValueError, AttributeError):
        return b""
