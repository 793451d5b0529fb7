"""Whose replicas find no room: who looks for it has to have said so."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ecoserve_operator.acting.refusals import refused
from ecoserve_operator.acting.standstill import Progress
from ecoserve_operator.kube import POD, Kind
from ecoserve_operator.watch.records import DeploymentRecord, deployment_record

NEW = DeploymentRecord(
    namespace="n",
    name="new",
    uid="u",
    owner_uid="o",
    pool="p",
    configuration="c",
    replicas=2,
    ready=0,
    settled=True,
    digest="",
)


class _Api:
    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods, self.asked = pods, 0

    async def list(self, kind: Kind, *, label_selector: str, field_selector: str) -> list[dict[str, Any]]:
        assert (kind, label_selector, field_selector) == (POD, "ecoserve.dev/serving", "spec.nodeName=")
        self.asked += 1
        return list(self.pods)


def change(record: DeploymentRecord = NEW) -> Progress:
    return Progress(
        moves=False,
        late=False,
        lacking=frozenset("p"),
        giving=frozenset("q"),
        state={record.key: record},
        placed={},
    )


def pod(*conditions: tuple[str, str], namespace: str = "n", deployment: str = "new") -> dict[str, Any]:
    labels = {"ecoserve.dev/serving": "chat", "app.kubernetes.io/instance": deployment}
    told = [{"type": kind, "status": "False", "reason": reason} for kind, reason in conditions]
    return {
        "metadata": {"namespace": namespace, "labels": labels},
        "status": {"conditions": told} if told else {},
    }


UNSCHEDULABLE = ("PodScheduled", "Unschedulable")


@pytest.mark.parametrize(
    ("pods", "is_refused"),
    [
        ([], False),
        ([pod()], False),
        ([pod(("PodScheduled", "SchedulingGated"))], False),
        ([pod(("PodScheduled", "SchedulerError"))], False),
        ([pod(UNSCHEDULABLE, namespace="other")], False),
        ([pod(UNSCHEDULABLE, deployment="old")], False),
        ([pod(UNSCHEDULABLE)], True),
        ([pod(), pod(("Initialized", ""), UNSCHEDULABLE)], True),
    ],
    ids=["none made", "not looked at", "gated", "error", "another's", "another", "no room", "one of two"],
)
def test_there_is_no_room_where_the_scheduler_says_so(pods: list[dict[str, Any]], is_refused: bool) -> None:
    found = asyncio.run(refused(_Api(*pods), {"n/chat": change()}))  # type: ignore[arg-type]
    assert found == ({"n/chat"} if is_refused else set())


def test_there_is_none_where_no_pod_may_be_made() -> None:
    found = asyncio.run(refused(_Api(), {"n/chat": change(replace(NEW, denied=True))}))  # type: ignore[arg-type]
    assert found == {"n/chat"}


@pytest.mark.parametrize(
    ("condition", "denied"),
    [
        ({"type": "ReplicaFailure", "status": "True"}, True),
        ({"type": "ReplicaFailure", "status": "False"}, False),
        ({"type": "Progressing", "status": "True"}, False),
    ],
)
def test_a_deployment_says_that_no_pod_may_be_made(condition: dict[str, str], denied: bool) -> None:
    body = {
        "metadata": {"name": "new", "namespace": "n", "uid": "u"},
        "spec": {"replicas": 2},
        "status": {"conditions": [condition]},
    }
    assert deployment_record(body).denied is denied
    del body["status"]
    assert deployment_record(body).denied is False


def test_nobody_is_asked_where_nothing_stands() -> None:
    api = _Api()
    assert asyncio.run(refused(api, {})) == set()  # type: ignore[arg-type]
    assert api.asked == 0
