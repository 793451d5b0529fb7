"""Kopf's part: keep the world up to date, and do nothing else.

Every kind has an index function and an event handler. Kopf calls the first for each object and holds all event
handlers back until every kind has been listed and indexed once; so the first event handler to run proves that
the world is complete, and a restart never plans on half a cluster. Nothing is written here: neither
finalizers nor annotations, as owner references clean up and records are rebuilt from the watches.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import kopf

from ecoserve.api.labels import GROUP, SERVING
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.nodes import node_facts
from ecoserve_operator.kube import (
    AUTOSCALER,
    DEPLOYMENT,
    GRID_ZONE,
    HARDWARE_PROFILE,
    LLM_SERVING,
    NODE,
    POD,
    Kind,
    KubeApi,
)
from ecoserve_operator.watch import records, scalers
from ecoserve_operator.watch.crowd import Crowd
from ecoserve_operator.watch.records import Key, Reported
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]

_PODS_SECONDS = 1.0
"""Pods come and go in crowds; their Deployments tell at once what is ready, and nothing else about them is urgent."""
_OURS = {"labelSelector": SERVING}
_BOUND = {"fieldSelector": "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"}


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind that is watched: the table its records are put into, how one is read, and what selects the objects."""

    kind: Kind
    table: dict[Key, Any]
    read: Callable[[Body], Any]
    label: str
    reports: bool = False
    """Whether its status is written by us, and remembered."""
    selectors: Mapping[str, str] = field(default_factory=dict)
    within_seconds: float = 0.0
    """So long a change may wait to be looked at."""

    def forget(self, world: World, key: Key) -> None:
        """Take note that an object has gone."""
        if self.reports:
            world.reported.pop(key, None)
        world.put(self.table, key, None, self.reason(key), self.within_seconds)

    def reason(self, key: Key) -> str:
        """What the log calls a change; pods and Deployments by kind only, as they come in crowds."""
        if self.kind in (POD, DEPLOYMENT):
            return self.label
        namespace, name = key
        return f"{self.label} {f'{namespace}/' if namespace else ''}{name}"


class _NoDiffs(kopf.DiffBaseStorage):
    """No object's state is compared with the one before: Kopf would copy each whole, for handlers of a kind we have none of."""

    def build(
        self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None
    ) -> kopf.BodyEssence:
        """Return nothing of an object."""
        del body, extra_fields
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Return nothing of what was."""
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


def watch_settings() -> kopf.OperatorSettings:
    """Kopf's settings: one instance acts by Lease, so no peering; no scanning, so no rights on CRDs."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.watching.server_timeout = 300  # seconds; a fresh watch every five minutes
    settings.watching.client_timeout = 330  # a little later than the server, so that it ends streams in order
    settings.watching.connect_timeout = 10
    settings.watching.label_selectors["deployments"] = _OURS["labelSelector"]
    settings.watching.field_selectors["pods"] = _BOUND["fieldSelector"]
    return settings


def watched_kinds(world: World) -> tuple[Watched, ...]:
    """All kinds that every cluster has, with their tables."""
    return (
        Watched(LLM_SERVING, world.servings, records.serving_record, "LLMServing", reports=True),
        Watched(GRID_ZONE, world.zones, records.zone_record, "GridZone", reports=True),
        Watched(HARDWARE_PROFILE, world.profiles, records.profile_record, "HardwareProfile"),
        Watched(NODE, world.nodes, node_facts, "node"),
        Watched(POD, world.pods, records.pod_record, "pods", selectors=_BOUND, within_seconds=_PODS_SECONDS),
        Watched(DEPLOYMENT, world.deployments, records.deployment_record, "deployments", selectors=_OURS),
        Watched(AUTOSCALER, world.autoscalers, scalers.autoscaler_record, "HorizontalPodAutoscaler"),
    )


def build_registry(
    world: World, api: KubeApi, kinds: Iterable[Watched], relisted: Callable[[], None]
) -> kopf.OperatorRegistry:
    """All handlers, bound to one world; `relisted` is told when a watch could not go on and began with a list again."""
    registry, crowd = kopf.OperatorRegistry(), Crowd()
    for watched in kinds:
        _register(registry, world, watched, crowd, relisted)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _credentials(api)

    return registry


def _register(
    registry: kopf.OperatorRegistry,
    world: World,
    watched: Watched,
    crowd: Crowd,
    relisted: Callable[[], None],
) -> None:
    kind = watched.kind
    known: set[Key] = set()
    group, version = kind.api_version.split("/") if "/" in kind.api_version else ("", kind.api_version)

    def store(body: Body) -> None:
        world.last_event = time.monotonic()
        metadata = body["metadata"]
        key = (metadata.get("namespace"), metadata["name"])
        if watched.reports:
            world.reported[key] = Reported(body=dict(body.get("status") or {}))
        try:
            record = None if metadata.get("deletionTimestamp") and kind is LLM_SERVING else watched.read(body)
        except InvalidInputError as error:
            logger.warning("%s %s is left out: %s", watched.label, metadata["name"], error)
            record = None
        world.put(watched.table, key, record, watched.reason(key), watched.within_seconds)

    async def index(body: Body, **_: Any) -> None:
        store(body)
        if not world.synced.is_set():
            await crowd.gathered()

    async def notice(type: str | None, body: Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
        world.synced.set()
        metadata = body["metadata"]
        key = (metadata.get("namespace"), metadata["name"])
        if type == "DELETED":
            known.discard(key)
            watched.forget(world, key)
        elif type is None and key in known:
            relisted()
        else:
            known.add(key)

    kopf.index(group, version, kind.plural, id=f"{kind.plural}-index", registry=registry)(index)
    kopf.on.event(group, version, kind.plural, id=kind.plural, registry=registry)(notice)


async def _credentials(api: KubeApi) -> kopf.ConnectionInfo:
    """Kopf logs in as our own client does, so that both act as one identity."""
    configuration = api.configuration
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=configuration.ca_cert_data,
        insecure=not configuration.verify_ssl,
        scheme="Bearer" if header else None,
        token=header.split(" ", 1)[-1] or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
