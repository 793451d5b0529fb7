"""What stands beside Deployments (Services, weights, budgets): applied where it differs from what was written last."""

from collections.abc import Mapping
from typing import Any

from ecoserve_operator.kube import Kind, KubeApi


class Written:
    """Remembers what it wrote, so that a quiet cluster gets no requests; a restart writes all of it once."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._known: dict[tuple[str, str, str], Mapping[str, Any]] = {}

    async def apply(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """Apply an object whose namespace is given."""
        metadata = manifest["metadata"]
        place = (kind.plural, metadata["namespace"], metadata["name"])
        if self._known.get(place) != manifest:
            await self._api.apply(kind, manifest)
            self._known[place] = manifest

    def forget(self, kind: Kind) -> None:
        """Take all objects of a kind for not written."""
        self._known = {place: known for place, known in self._known.items() if place[0] != kind.plural}
