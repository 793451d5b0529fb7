"""The thin part that writes: one serving's next steps, carried out against the API server."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecoserve.api import LLMServing
from ecoserve_operator.acting.deployments import Wanted, build_deployment, is_applied
from ecoserve_operator.acting.order import next_steps
from ecoserve_operator.kube import DEPLOYMENT, KubeApi
from ecoserve_operator.watch.records import DeploymentRecord, Key, deployment_record

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a pass over one serving has written, and what it still waits for."""

    applied: tuple[DeploymentRecord, ...]
    deleted: tuple[DeploymentRecord, ...]
    waiting: tuple[str, ...]


async def carry_out(
    api: KubeApi,
    serving: LLMServing,
    wanted: Sequence[Wanted],
    observed: Mapping[Key, DeploymentRecord],
    surge_fraction: float,
) -> Done:
    """Take a serving's next steps; raises ApiRefusedError or ApiUnreachableError with what was done kept.

    Raising comes before taking away, so that an error on the way never leaves less than before.
    """
    steps = next_steps(wanted, observed, surge_fraction)
    applied = []
    for each, replicas in steps.apply:
        manifest = build_deployment(each, serving, replicas)
        before = observed.get(each.key)
        if is_applied(manifest, before):
            continue
        record = deployment_record(await api.apply(DEPLOYMENT, manifest))
        applied.append(record)
        had = before.replicas if before is not None else 0
        logger.info("Deployment %s/%s: %d → %d replicas", record.namespace, record.name, had, replicas)
    for before, replicas in steps.lower:
        patch = {"spec": {"replicas": replicas}}
        applied.append(deployment_record(await api.merge(DEPLOYMENT, before.name, before.namespace, patch)))
        logger.info(
            "Deployment %s/%s: %d → %d replicas", before.namespace, before.name, before.replicas, replicas
        )
    for record in steps.delete:
        await api.delete(DEPLOYMENT, record.name, record.namespace, record.uid)
        logger.info("Deployment %s/%s: deleted, no longer planned", record.namespace, record.name)
    return Done(applied=tuple(applied), deleted=steps.delete, waiting=steps.waiting)
