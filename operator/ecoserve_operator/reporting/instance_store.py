"""Writing planning instances to the cluster, in as many ConfigMaps as they take."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from ecoserve.api.labels import INSTANCES_NAME
from ecoserve_operator.kube import CONFIG_MAP, KubeApi
from ecoserve_operator.reporting.instances import emptied, in_parts, part_names


class InstanceStore:
    """The ConfigMaps of one namespace; remembers what was written last, and writes nothing twice."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._written: list[dict[str, Any]] = []

    async def write(self, plan_uid: str, plan_id: str, files: Mapping[str, bytes]) -> int:
        """Write the files of a plan, and empty what a larger export left behind them; returns the number of parts.

        Raises ApiRefusedError; parts that are written by then do not pass for an instance.
        """
        parts = in_parts(self._namespace, plan_uid, plan_id, files)
        if parts != self._written:
            self._written = []
            for part in parts:
                await self._api.apply(CONFIG_MAP, part)
            await self._empty_beyond(len(parts), plan_uid)
            self._written = parts
        return len(parts)

    async def _empty_beyond(self, parts: int, plan_uid: str) -> None:
        for number in count(parts + 1):
            name = part_names(INSTANCES_NAME, number)[-1]
            left = await self._api.get(CONFIG_MAP, name, self._namespace)
            if left is None or not left.get("binaryData"):
                return
            await self._api.apply(CONFIG_MAP, emptied(left, plan_uid))
