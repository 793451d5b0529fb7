"""Small frozen records of what is watched, read off API objects by pure functions.

Only what planning and acting need is kept, so that a thousand nodes and their pods fit into little memory,
and so that two records compare equal when nothing that matters has changed (heartbeats, managed fields).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from pydantic import ValidationError

from ecoserve.api import GridZone, HardwareProfile, LLMServing
from ecoserve.api.base import Condition
from ecoserve.api.labels import CLASS_ONLINE, POOL, ROLE, SERVING
from ecoserve.api.manifests import first_error, parse_serving
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.nodes import Resources, resources_from

Key = tuple[str | None, str]
"""Namespace (None for cluster-scoped objects) and name."""

DIGEST = "ecoserve.dev/applied-digest"
"""Annotation of our Deployments: digest of what was applied, so that an unchanged one is not applied again."""

CONFIGURATION = "ecoserve.dev/configuration"
"""Annotation of our Deployments: the planner's name of what they run, by which it knows what is held."""

CAPACITY = "ecoserve.dev/replica-requests-per-second"
"""Annotation of our Deployments: what one replica sustains, so that one no longer planned still counts as what it is."""

WRITTEN_BY = "ecoserve.dev/leader"
"""Annotation of our Deployments: the Lease's number of transitions when they were written, by which leaders differ."""

INSTANCE = "app.kubernetes.io/instance"
"""Label of our Deployments' pods: the Deployment's name."""

_LONGEST_LABEL_VALUE = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRecord:
    """An LLMServing; `problem` is the one sentence that says why `serving` can't be used."""

    namespace: str
    name: str
    uid: str
    generation: int
    serving: LLMServing | None
    problem: str = ""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return (self.namespace, self.name)

    @property
    def full_name(self) -> str:
        """`namespace/name`, as plans name servings."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """A Deployment of ours."""

    namespace: str
    name: str
    uid: str
    owner_uid: str
    pool: str
    configuration: str
    replicas: int
    ready: int
    settled: bool
    """Whether the Deployment controller has seen its latest spec."""
    digest: str
    rolled_out: bool = True
    """Whether the Deployment controller has seen its latest spec, and no pod is of an earlier template."""
    role: str = "both"
    traffic_class: str = CLASS_ONLINE
    replica_requests_per_second: float | None = None
    """What one replica sustains; None where it does not say."""
    token: int = 0
    """Which leader wrote it last."""
    denied: bool = False
    """Whether its pods are refused before there is one: by a quota, or an admission."""
    resource_version: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """A pod bound to a node: what it takes there, and whose it is (None: not of an LLMServing)."""

    node: str
    requests: Resources
    serving: Key | None
    deployment: str = ""
    """Which of the serving's Deployments it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRecord:
    """A GridZone."""

    name: str
    uid: str
    generation: int
    grid: GridZone | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The status an object carries: what was told before, so that only changes are written."""

    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Its conditions; those that can't be read are as good as none."""
        found = []
        for item in self.body.get("conditions") or ():
            try:
                found.append(Condition.model_validate(item))
            except ValidationError:
                continue
        return tuple(found)


def serving_record(body: Mapping[str, Any]) -> ServingRecord:
    """Read an LLMServing; a spec that can't be used becomes a record with a problem."""
    metadata = body["metadata"]
    serving, problem = None, ""
    try:
        if len(metadata["name"]) > _LONGEST_LABEL_VALUE:
            accepted = f"at most {_LONGEST_LABEL_VALUE} characters, as it becomes a label"
            raise InvalidInputError("metadata.name", metadata["name"], accepted)
        serving = parse_serving(_without_status(body))
    except InvalidInputError as error:
        problem = str(error)
    return ServingRecord(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        serving=serving,
        problem=problem,
    )


def zone_record(body: Mapping[str, Any]) -> ZoneRecord:
    """Read a GridZone; a spec that can't be used becomes a record with a problem."""
    metadata = body["metadata"]
    grid, problem = None, ""
    try:
        grid = GridZone.model_validate(_without_status(body))
    except ValidationError as error:
        problem = str(first_error(error, "GridZone"))
    return ZoneRecord(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        grid=grid,
        problem=problem,
    )


def profile_record(body: Mapping[str, Any]) -> HardwareProfile:
    """Read a HardwareProfile; raises InvalidInputError naming the field that is wrong."""
    try:
        return HardwareProfile.model_validate(_without_status(body))
    except ValidationError as error:
        raise first_error(error, f"HardwareProfile {body['metadata']['name']}") from None


def deployment_record(body: Mapping[str, Any]) -> DeploymentRecord:
    """Read a Deployment of ours."""
    metadata, status = body["metadata"], body.get("status") or {}
    annotations = metadata.get("annotations") or {}
    labels = metadata.get("labels") or {}
    configuration = annotations.get(CONFIGURATION, "")
    owners = (owner for owner in metadata.get("ownerReferences") or () if owner.get("controller"))
    settled = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    return DeploymentRecord(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=next((owner["uid"] for owner in owners), ""),
        pool=labels.get(POOL, ""),
        configuration=configuration,
        replicas=body["spec"].get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        settled=settled,
        digest=annotations.get(DIGEST, ""),
        rolled_out=settled and status.get("replicas", 0) <= status.get("updatedReplicas", 0),
        role=labels.get(ROLE, "both"),
        traffic_class=configuration.rpartition("/")[2] or CLASS_ONLINE,
        replica_requests_per_second=_number(annotations.get(CAPACITY)),
        token=int(_number(annotations.get(WRITTEN_BY)) or 0),
        denied=any(
            condition["type"] == "ReplicaFailure" and condition["status"] == "True"
            for condition in status.get("conditions") or ()
        ),
        resource_version=metadata.get("resourceVersion", ""),
    )


def _number(text: str | None) -> float | None:
    """A rate written into an annotation; None where nobody can read it."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) and value >= 0 else None


def pod_record(body: Mapping[str, Any]) -> PodRecord | None:
    """Read a pod; None for one that takes nothing from a node (unbound or ended)."""
    spec = body["spec"]
    node = spec.get("nodeName")
    if not node or (body.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return None
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    serving = labels.get(SERVING)
    return PodRecord(
        node=node,
        requests=pod_requests(spec, f"pod {metadata['namespace']}/{metadata['name']}"),
        serving=(metadata["namespace"], serving) if serving else None,
        deployment=labels.get(INSTANCE, "") if serving else "",
    )


def pod_requests(spec: Mapping[str, Any], where: str) -> Resources:
    """What the scheduler counts for a pod: its containers and sidecars together, or its greediest init step.

    Sidecars are init containers with `restartPolicy: Always`: they stay beside what starts after them.
    """
    running, peak = Resources(), Resources()
    for container in spec.get("initContainers") or ():
        wanted = _requests(container, where)
        if container.get("restartPolicy") == "Always":
            running = _total((running, wanted))
            peak = _most(peak, running)
        else:
            peak = _most(peak, _total((running, wanted)))
    containers = [_requests(container, where) for container in spec.get("containers") or ()]
    overhead = resources_from(spec.get("overhead") or {}, f"{where} overhead")
    return _total((_most(peak, _total((running, *containers))), overhead))


def _requests(container: Mapping[str, Any], where: str) -> Resources:
    requests = (container.get("resources") or {}).get("requests") or {}
    return resources_from(requests, f"{where} container {container.get('name', '')} requests")


def _total(amounts: Iterable[Resources]) -> Resources:
    listed = tuple(amounts)
    return Resources(
        gpu=sum(each.gpu for each in listed),
        cpu=sum(each.cpu for each in listed),
        memory_gib=sum(each.memory_gib for each in listed),
    )


def _most(one: Resources, other: Resources) -> Resources:
    return Resources(
        gpu=max(one.gpu, other.gpu),
        cpu=max(one.cpu, other.cpu),
        memory_gib=max(one.memory_gib, other.memory_gib),
    )


def _without_status(body: Mapping[str, Any]) -> dict[str, Any]:
    """A status written by another version must not make the spec unreadable."""
    return {key: value for key, value in body.items() if key != "status"}
