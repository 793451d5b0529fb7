"""Placements, choices and Deployments, made with the few figures that a test is about."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ecoserve.performance import Role
from ecoserve.planner.placement import Placement
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.watch.records import DeploymentRecord, Key

WantedOn = Callable[..., Wanted]
ChoiceOf = Callable[..., Choice]
Runs = Callable[..., tuple[Key, DeploymentRecord]]


@pytest.fixture(scope="session")
def wanted_on() -> WantedOn:
    """Replicas of the serving `n/s` on a pool, by default online and for whole requests."""

    def make(pool: str, replicas: int, **changes: object) -> Wanted:
        made = Wanted(
            namespace="n",
            serving="s",
            configuration=f"n/s/{pool}/both/tp1/online",
            pool=pool,
            selector=(),
            role="both",
            traffic_class="online",
            scheduling_class="online",
            tensor_parallel=1,
            cpu_cores=1.0,
            memory_gib=1.0,
            replicas=replicas,
        )
        return replace(made, **changes)  # type: ignore[arg-type]  # the fields that a test names

    return make


@pytest.fixture(scope="session")
def runs() -> Runs:
    """The Deployment of such replicas, with so many that are ready."""

    def make(item: Wanted, ready: int, replicas: int | None = None) -> tuple[Key, DeploymentRecord]:
        return item.key, DeploymentRecord(
            namespace="n",
            name=item.key[1],
            uid=f"uid-{item.pool}",
            owner_uid="u",
            pool=item.pool,
            configuration=item.configuration,
            replicas=item.replicas if replicas is None else replicas,
            ready=ready,
            settled=True,
            digest="",
            role=item.role,
            traffic_class=item.traffic_class,
            replica_requests_per_second=item.replica_requests_per_second,
        )

    return make


@pytest.fixture(scope="session")
def choice_of() -> ChoiceOf:
    """What the serving `n/chat` gets: two replicas for whole online requests on the pool `p`, unless `placed` says none."""

    def make(
        pool: str = "p",
        replicas: int = 2,
        *,
        placed: bool = True,
        taken: Taken = Taken.PLAN,
        reason: str = "",
        problem: str = "",
    ) -> Choice:
        placement = Placement(
            configuration=f"n/chat/{pool}/both/tp1/online",
            serving="n/chat",
            pool=pool,
            role=Role.BOTH,
            traffic_class="online",
            tensor_parallel=1,
            cpu_cores=8.0,
            memory_gib=20.0,
            replicas=replicas,
            requests_per_second=1.0,
            share=1.0,
            operational_grams_per_hour=100.0,
            embodied_grams_per_hour=20.0,
            watts=400.0,
            cost_per_hour=3.0,
            reason="least",
        )
        placements = (placement,) if placed else ()
        return Choice(serving="n/chat", taken=taken, placements=placements, reason=reason, problem=problem)

    return make
