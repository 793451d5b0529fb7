"""The thin part that writes: one serving's next steps, carried out against the API server.

Each write of a Deployment names the version it was decided on and bears the leader's token. Where the version has
changed meanwhile, mostly because the Deployment's controller told its status, it is read anew: one that a later leader
has written is left alone, as this instance is none any more.
"""

import logging
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecoserve.api import LLMServing
from ecoserve.api.labels import FIELD_MANAGER
from ecoserve_operator.acting.deployments import Wanted, build_deployment, is_applied
from ecoserve_operator.acting.order import next_steps
from ecoserve_operator.kube import DEPLOYMENT, ApiRefusedError, FieldConflictError, KubeApi, Object
from ecoserve_operator.watch.records import WRITTEN_BY, DeploymentRecord, Key, deployment_record

logger = logging.getLogger(__name__)

_ATTEMPTS = 4
_CONFLICT = 409
_HANDOVER = f"{FIELD_MANAGER}-handover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a pass over one serving has written and still waits for, and what it took back from other managers.

    `rolling` are the Deployments some of whose pods are of an earlier template; `lacking` and `giving` are the pools of `Steps`.
    """

    applied: tuple[DeploymentRecord, ...]
    deleted: tuple[DeploymentRecord, ...]
    waiting: tuple[str, ...]
    rolling: tuple[str, ...]
    lacking: frozenset[str]
    giving: frozenset[str]
    conflicts: tuple[str, ...]


async def carry_out(
    api: KubeApi,
    serving: LLMServing,
    wanted: Sequence[Wanted],
    observed: Mapping[Key, DeploymentRecord],
    surge_fraction: float,
    scaled: Container[Key] = (),
    leaving: Mapping[Key, int] | None = None,
    *,
    partial: bool = False,
    dip: float = 0.0,
) -> Done:
    """Take a serving's next steps; raises ApiRefusedError or ApiUnreachableError with what was done kept.

    Raising comes before taking away, so that an error on the way never leaves less than before. Raises
    LeaseLostError where another leader acts.
    """
    steps = next_steps(wanted, observed, surge_fraction, scaled, leaving, partial=partial, dip=dip)
    applied: list[DeploymentRecord] = []
    conflicts: list[str] = []
    for each, replicas in steps.apply:
        manifest = build_deployment(each, serving, replicas)
        before = observed.get(each.key)
        if not is_applied(manifest, before):
            applied.append(await _applied(api, manifest, before, conflicts))
            _log(applied[-1], before)
    for before, replicas in steps.lower:
        applied.append(await _lowered(api, before, replicas))
        _log(applied[-1], before)
    for record in steps.delete:
        api.fence.give_way_to(record.token)
        await api.delete(DEPLOYMENT, record.name, record.namespace, record.uid)
        logger.info("Deployment %s/%s: deleted, no longer planned", record.namespace, record.name)
    now = {**observed, **{each.key: each for each in applied}}
    return Done(
        applied=tuple(applied),
        deleted=steps.delete,
        waiting=steps.waiting,
        rolling=tuple(each.key[1] for each in wanted if each.key in now and not now[each.key].rolled_out),
        lacking=steps.lacking,
        giving=steps.giving,
        conflicts=tuple(conflicts),
    )


async def _applied(
    api: KubeApi, manifest: Mapping[str, Any], before: DeploymentRecord | None, conflicts: list[str]
) -> DeploymentRecord:
    """Apply a Deployment; fields that others have taken are taken back, and told in `conflicts`."""

    async def write(guard: Mapping[str, Any]) -> Object:
        if before is not None and "replicas" not in manifest["spec"]:
            handed = await api.apply(DEPLOYMENT, _replicas_only(manifest, before, guard), manager=_HANDOVER)
            guard = {**guard, "resourceVersion": handed["metadata"]["resourceVersion"]}
        guarded = _guarded(manifest, guard)
        try:
            return await api.apply(DEPLOYMENT, guarded, force=False)
        except FieldConflictError as error:
            conflicts.append(f"Deployment {manifest['metadata']['name']}: {' '.join(str(error).split())}")
            return await api.apply(DEPLOYMENT, guarded)

    return await _fenced(api, before, write)


def _replicas_only(
    manifest: Mapping[str, Any], before: DeploymentRecord, guard: Mapping[str, Any]
) -> dict[str, Any]:
    """The replicas as they are, for a manager of their own: a field that its last owner no longer gives would go."""
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace")}
    bare = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    version = {key: value for key, value in guard.items() if key == "resourceVersion"}
    return {**bare, "metadata": {**metadata, **version}, "spec": {"replicas": before.replicas}}


async def _lowered(api: KubeApi, before: DeploymentRecord, replicas: int) -> DeploymentRecord:
    async def write(guard: Mapping[str, Any]) -> Object:
        patch = _guarded({"spec": {"replicas": replicas}}, guard)
        return await api.merge(DEPLOYMENT, before.name, before.namespace, patch)

    return await _fenced(api, before, write)


async def _fenced(
    api: KubeApi, before: DeploymentRecord | None, write: Callable[[Mapping[str, Any]], Awaitable[Object]]
) -> DeploymentRecord:
    """Write, given metadata to add, to what a Deployment is or, where it has changed meanwhile, has become."""
    attempts = _ATTEMPTS
    while True:
        attempts -= 1
        guard: dict[str, Any] = {"annotations": {WRITTEN_BY: str(api.fence.token)}}
        if before is not None:
            api.fence.give_way_to(before.token)
            guard["resourceVersion"] = before.resource_version
        try:
            return deployment_record(await write(guard))
        except ApiRefusedError as error:
            if before is None or error.status != _CONFLICT or not attempts:
                raise
        found = await api.get(DEPLOYMENT, before.name, before.namespace)
        before = deployment_record(found) if found is not None else None


def _guarded(body: Mapping[str, Any], guard: Mapping[str, Any]) -> dict[str, Any]:
    metadata = body.get("metadata", {})
    annotations = {**metadata.get("annotations", {}), **guard["annotations"]}
    return {**body, "metadata": {**metadata, **guard, "annotations": annotations}}


def _log(written: DeploymentRecord, before: DeploymentRecord | None) -> None:
    had = before.replicas if before is not None else 0
    logger.info("Deployment %s/%s: %d → %d replicas", written.namespace, written.name, had, written.replicas)
