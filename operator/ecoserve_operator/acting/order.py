"""Make before break: in which order replicas come and go, as a pure function of what is wanted and what runs.

It is level-triggered: called again whenever something became ready, it gives the next step. New and raised
replicas come first; only when every wanted replica of the serving is ready do superfluous ones go. It keeps no
memory of a change under way, so a restart in the middle of one goes on where it stood.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.watch.records import DeploymentRecord, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What to do now for one serving, and what is being waited for."""

    apply: tuple[tuple[Wanted, int], ...]
    """Deployments that should exist, each with the replicas it should have for now."""
    delete: tuple[DeploymentRecord, ...]
    """Deployments that can go."""
    waiting: tuple[str, ...]
    """Which wanted replicas are not ready yet, in words."""


def next_steps(wanted: Sequence[Wanted], observed: Mapping[Key, DeploymentRecord]) -> Steps:
    """The next steps of one serving, from its wanted Deployments and those of its that run."""
    waiting = tuple(
        f"{each.replicas - ready} of {each.replicas} replicas of Deployment {each.key[1]}"
        for each in wanted
        if (ready := ready_replicas(observed.get(each.key))) < each.replicas
    )
    keys = {each.key for each in wanted}
    superfluous = tuple(record for key, record in sorted(observed.items()) if key not in keys)
    if waiting:
        raised = tuple((each, max(each.replicas, _replicas(observed.get(each.key)))) for each in wanted)
        return Steps(apply=raised, delete=(), waiting=waiting)
    return Steps(apply=tuple((each, each.replicas) for each in wanted), delete=superfluous, waiting=())


def ready_replicas(record: DeploymentRecord | None) -> int:
    """Replicas that take traffic; none of a Deployment whose last change its controller has not seen yet."""
    return min(record.ready, record.replicas) if record is not None and record.settled else 0


def _replicas(record: DeploymentRecord | None) -> int:
    return record.replicas if record is not None else 0
