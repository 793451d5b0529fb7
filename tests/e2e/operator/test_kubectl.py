"""`kubectl ecoserve` on what the operator wrote."""

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster


def test_what_was_decided_can_be_read(world: Any, ecoserve: Callable[..., Any]) -> None:
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    world.eventually(lambda: f"{world.namespace}/chat" in ecoserve("plan").stdout)
    for arguments in (["pools"], ["plan"], ["explain", "llmserving", "chat", "-n", world.namespace]):
        done = ecoserve(*arguments)
        assert done.returncode == 0, done.stderr
        assert "g6-48xlarge.west" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 100
    pools = json.loads(ecoserve("pools", "--output", "json").stdout)
    assert {pool["zone"] for pool in pools} == {"west", "east"}


def test_what_is_not_there_is_told_in_one_line(world: Any, ecoserve: Callable[..., Any]) -> None:
    done = ecoserve("explain", "llmserving", "nobody", "-n", world.namespace)
    assert done.returncode == 2
    assert "nobody" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_pods_decision_is_shown(world: Any, ecoserve: Callable[..., Any]) -> None:
    def pod(name: str, annotations: dict[str, str]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": world.namespace, "annotations": annotations}
        spec = {"containers": [{"name": "c", "image": "x"}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    decision = {"node": "n1", "runnerUp": "n2", "gramsPerHourDifference": 12.5}
    world.apply(pod("told", {"ecoserve.dev/decision": json.dumps(decision)}), pod("untold", {}))
    shown = ecoserve("explain", "pod", "told", "-n", world.namespace)
    assert "n2" in shown.stdout
    assert "12.500" in shown.stdout
    refused = ecoserve("explain", "pod", "untold", "-n", world.namespace)
    assert (refused.returncode, "ecoserve.dev/decision" in refused.stderr) == (2, True)
