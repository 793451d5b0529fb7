"""Jobs and pods with a deadline: held by the API server as they are made, let go by the operator at the planned hour."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecoserve.api.admission import build_mutating_policy
from ecoserve.api.labels import CARBON_AWARE_RESOURCE, CLASS, DEADLINE, DURATION, HELD, HELD_UNTIL
from ecoserve_operator.holding.admission import build_holding_policy

pytestmark = pytest.mark.devcluster


@pytest.fixture(autouse=True)
def _holding(world: Any) -> Iterator[None]:
    world.apply(*build_holding_policy())

    def holds() -> bool:
        """The API server takes a moment to heed a new policy."""
        dry = world.cluster.kubectl(
            "create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(job(world, "probe"))
        )
        return json.loads(dry)["spec"]["suspend"]

    world.eventually(holds)
    yield
    # What they take of the pool would be given back in the middle of another test.
    world.cluster.kubectl("delete", "jobs,pods", "--all", "-n", world.namespace)


def job(world: Any, name: str, scheduler: str = "ecoserve", **annotations: str) -> dict[str, Any]:
    spec = {
        "schedulerName": scheduler,
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "pause", "resources": {"requests": {"cpu": "1"}}}],
    }
    template = {"metadata": {"labels": {CLASS: "offline"}}, "spec": spec}
    marks = {DEADLINE: "20h", DURATION: "1h"} | {
        {"deadline": DEADLINE, "duration": DURATION}[key]: value for key, value in annotations.items()
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": world.namespace, "annotations": marks},
        "spec": {"template": template},
    }


def grid(world: Any, *grams: float) -> None:
    """Hours of intensity of the zone west from this one on; the last value stays."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    values = [*grams, *[grams[-1]] * 48]
    rows = [f"{(start + timedelta(hours=hour)).isoformat()},{value}" for hour, value in enumerate(values)]
    text = "\n".join(["timestamp,carbon_intensity", *rows])
    metadata = {"name": "west", "namespace": world.namespace}
    world.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"intensity.csv": text}}
    )
    world.apply(
        {
            "apiVersion": "ecoserve.dev/v1alpha1",
            "kind": "GridZone",
            "metadata": {"name": "west"},
            "spec": {"intensity": {"configMap": {"namespace": world.namespace, "name": "west"}}},
        }
    )
    # Work that comes before the operator has heard of it would be let go by what was known until then.
    world.eventually(
        lambda: world.get("gridzone", "west").get("status", {}).get("gramsPerKilowattHour") == grams[0]
    )

    def read() -> bool:
        """Work that is made in the same moment is decided by what was known of the grid before."""
        zone = world.get("gridzone", "west")
        conditions = zone.get("status", {}).get("conditions", [])
        return any(
            (one["reason"], one["observedGeneration"]) == ("Series", zone["metadata"]["generation"])
            for one in conditions
        )

    world.eventually(read, 60)


def reasons(world: Any, name: str) -> set[str]:
    """The reasons of an object's events, each of which is posted after what it tells of."""
    return {event["reason"] for event in world.get("events") if event["involvedObject"]["name"] == name}


def test_a_job_waits_for_the_clean_hour_says_so_and_starts_in_it(world: Any) -> None:
    def found(name: str) -> Any:
        return world.get("job", name)

    def told(name: str) -> str:
        return found(name)["metadata"].get("annotations", {}).get(HELD_UNTIL, "")

    grid(world, 600, 600, 600, 20, 20, 600)
    mine = job(world, "suspended-by-its-owner") | {}
    mine["spec"] = mine["spec"] | {"suspend": True}
    opted = job(world, "of-a-patched-scheduler", scheduler="default-scheduler")
    opted["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = {CARBON_AWARE_RESOURCE: "1"}
    world.apply(
        opted,
        job(world, "patient"),
        job(world, "late", deadline="1h"),
        job(world, "muddled", deadline="soon"),
        job(world, "not-ours", scheduler="default-scheduler"),
        mine,
    )
    assert not found("not-ours")["spec"].get("suspend")
    hour = (datetime.now(UTC) + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    world.eventually(lambda: told("patient").startswith(f"starts at {hour:%Y-%m-%d %H:%M} UTC"), 60)
    assert found("patient")["spec"]["suspend"] is True
    assert found("of-a-patched-scheduler")["spec"]["suspend"] is True
    world.apply(job(world, "patient"))
    for _ in range(2):
        applied = json.dumps(job(world, "of-a-controller"))
        world.cluster.kubectl("apply", "--server-side", "--field-manager=flux", "-f", "-", stdin=applied)
    again = [found(name)["spec"]["suspend"] for name in ("patient", "of-a-controller")]
    assert again == [True, True], "what applies manifests again and again starts nothing"

    world.eventually(lambda: not found("late")["spec"]["suspend"])
    assert told("late") == "starts now: later it might miss its deadline"
    world.eventually(lambda: not found("muddled")["spec"]["suspend"])
    assert "annotation ecoserve.dev/deadline: 'soon' is not accepted" in told("muddled")

    grid(world, 20)
    world.eventually(lambda: not found("patient")["spec"]["suspend"])
    assert told("patient").startswith("starts now: no hour before its deadline")
    assert HELD not in found("patient")["metadata"].get("labels", {})
    world.eventually(lambda: reasons(world, "patient") >= {"WaitsForCleanerHour", "Released"})
    world.eventually(
        lambda: (
            found("patient").get("status", {}).get("active") or found("patient")["status"].get("succeeded")
        )
    )
    assert found("suspended-by-its-owner")["spec"]["suspend"] is True


def test_a_deadline_that_another_policy_gives_holds_too(world: Any) -> None:
    """Policies go in the order of their names; what gives a namespace's work its deadline may be any."""
    add = f"Object{{metadata: Object.metadata{{annotations: {{'{DEADLINE}': '20h'}}}}}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": add}}
    names = {"named": f"object.metadata.namespace == '{world.namespace}'"}
    policy = build_mutating_policy(
        "zz-deadlines.example.com", ("batch", "jobs"), names, mutation, failure_policy="Fail"
    )
    world.apply(*policy)
    made = job(world, "probe")
    del made["metadata"]["annotations"]

    def suspended() -> bool:
        dry = world.cluster.kubectl(
            "create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(made)
        )
        found = json.loads(dry)
        return DEADLINE in found["metadata"].get("annotations", {}) and found["spec"]["suspend"]

    try:
        world.eventually(suspended)
    finally:
        world.cluster.kubectl(
            "delete", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": policy})
        )


def pod(world: Any, name: str, **changes: Any) -> dict[str, Any]:
    made = job(world, name)
    metadata = made["metadata"] | {"labels": {CLASS: "offline"}} | changes.pop("metadata", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": made["spec"]["template"]["spec"] | changes,
    }


def test_a_pod_of_its_own_waits_behind_a_gate_and_says_so(world: Any) -> None:
    def found(name: str) -> Any:
        return world.get("pod", name)

    def told(name: str) -> str:
        return found(name)["metadata"].get("annotations", {}).get(HELD_UNTIL, "")

    def gates(name: str) -> list[str]:
        return [gate["name"] for gate in found(name)["spec"].get("schedulingGates", [])]

    grid(world, 600, 600, 600, 20, 20, 600)
    uid = world.get("configmap", "west")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "west", "uid": uid}
    world.apply(
        pod(world, "patient"),
        pod(world, "owned", metadata={"ownerReferences": [owner]}),
        pod(world, "gated-by-its-owner", schedulingGates=[{"name": "example.com/mine"}]),
        pod(world, "online", metadata={"labels": {CLASS: "online"}}),
        pod(world, "not-ours", schedulerName="default-scheduler"),
    )
    assert gates("patient") == [HELD]
    assert [gates(name) for name in ("owned", "online", "not-ours")] == [[], [], []]
    assert gates("gated-by-its-owner") == ["example.com/mine"]
    hour = (datetime.now(UTC) + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    world.eventually(lambda: told("patient").startswith(f"starts at {hour:%Y-%m-%d %H:%M} UTC"), 60)
    assert gates("patient") == [HELD]

    grid(world, 20)
    world.eventually(lambda: gates("patient") == [])
    assert told("patient").startswith("starts now: no hour before its deadline")
    assert HELD not in found("patient")["metadata"]["labels"]
    assert gates("gated-by-its-owner") == ["example.com/mine"]
    world.eventually(lambda: reasons(world, "patient") >= {"WaitsForCleanerHour", "Released"})
