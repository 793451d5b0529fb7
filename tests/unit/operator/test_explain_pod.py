"""`kubectl ecoserve explain pod`, with a kubectl that answers from a table."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ecoserve.api.labels import DECISION, HELD, HELD_UNTIL
from ecoserve_operator.kubectl import app

DECIDED = {"node": "n1", "runnerUp": "n2", "gramsPerHour": 1.5, "gramsPerHourDifference": 2.0, "plan": "p1"}
REMEMBERED = {
    "uid": "u1",
    "decidedAt": "2026-03-01T08:20:00.000+00:00",
    "decision": DECIDED | {"node": None},
    "candidates": [
        {"node": "n1", "gramsPerHour": 1.5, "score": 10},
        {"node": "n2", "gramsPerHour": None, "score": 0},
    ],
    "leftOut": {"message": "greener nodes have room", "count": 3, "nodes": ["c", "d"]},
    "rejected": [{"reason": "BUSY", "message": "node(s) are busy", "count": 7, "nodes": ["a", "b"]}],
    "onlineLoadFrom": {"plan": 2, "requests": 7},
}
EXTENDER = {
    "metadata": {"name": "scheduler-1", "namespace": "eco"},
    "spec": {"containers": [{"ports": [{"name": "observe", "containerPort": 8889}]}]},
}
PROXY = "/api/v1/namespaces/eco/pods/scheduler-1:8889/proxy/explain?pod=batch/job"


def pod(**annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "job", "namespace": "batch", "uid": "u1", "annotations": annotations}}


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command; `answers` are what kubectl prints, by what stands in its arguments."""

    def run(answers: dict[str, Any], *options: str) -> Any:
        script = tmp_path / "kubectl"
        script.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"answers = json.loads({json.dumps(json.dumps(answers))})\n"
            "asked = ' '.join(sys.argv[1:])\n"
            "found = next((value for key, value in answers.items() if key in asked), None)\n"
            "sys.exit('not found') if found is None else print(json.dumps(found))\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return CliRunner().invoke(app, ["explain", "pod", "job", "-n", "batch", *options])

    return run


def test_candidates_and_refusals_stand_beside_the_decision(explain):
    answers = {
        PROXY: REMEMBERED,
        "--selector": {"items": [EXTENDER]},
        "get pods job": pod(**{DECISION: json.dumps(DECIDED)}),
    }
    shown = explain(answers).output
    assert "runnerUp" in shown
    assert "unknown" in shown
    assert "left out: 3 nodes that could take it; greener nodes have room: c, d, …" in shown
    assert "refused: 7 node(s) are busy: a, b, …" in shown
    assert "online load of 7 nodes by requests" in shown
    told = json.loads(explain(answers, "-o", "json").output)
    shown_keys = REMEMBERED.keys() - {"decision", "uid", "decidedAt"}
    assert told == DECIDED | {key: REMEMBERED[key] for key in shown_keys}


def test_an_older_extender_that_leaves_no_node_out_is_understood(explain):
    remembered = {key: value for key, value in REMEMBERED.items() if key not in ("leftOut", "uid")}
    answers = {PROXY: remembered, "--selector": {"items": [EXTENDER]}, "get pods job": pod()}
    assert explain(answers).exit_code == 0
    assert json.loads(explain(answers, "-o", "json").output)["leftOut"] is None


def test_a_pod_that_waits_is_explained_by_what_the_extender_remembers(explain):
    shown = explain({PROXY: REMEMBERED, "--selector": {"items": [EXTENDER]}, "get pods job": pod()})
    assert shown.exit_code == 0
    assert "refused: 7 node(s) are busy" in shown.output


def test_a_held_pod_says_until_when_and_why(explain):
    waiting = pod(**{HELD_UNTIL: "starts at 03:00 UTC: cleaner"})
    answers = {"get pods job": waiting}
    new = pod()
    new["metadata"]["labels"] = {HELD: "true"}
    assert "until an operator has decided" in explain({"get pods job": new}).output
    assert explain(answers).exit_code != 0
    waiting["metadata"]["labels"] = {HELD: "true"}
    assert "starts at 03:00 UTC: cleaner" in explain(answers).output
    assert json.loads(explain(answers, "-o", "json").output) == {"held": "starts at 03:00 UTC: cleaner"}


def test_the_extenders_of_a_patched_scheduler_are_asked_too_where_they_can_be(explain):
    """Those of the control plane have a label of their own, and are looked at only where the chart is told so."""
    on_loopback = {"metadata": {"name": "extender-0", "namespace": "eco"}, "spec": {"containers": [{}]}}
    here = {"metadata": {"name": "extender-1", "namespace": "eco"}, "spec": EXTENDER["spec"]}
    answers = {
        PROXY.replace("scheduler-1", "extender-1"): REMEMBERED,
        "--selector=app.kubernetes.io/name=ecoserve,app.kubernetes.io/component in (scheduler,extender)": {
            "items": [on_loopback, here]
        },
        "get pods job": pod(),
    }
    assert "refused: 7 node(s) are busy" in explain(answers).output


def test_of_two_extenders_the_one_that_was_asked_last_is_believed(explain):
    """The first in the list answered for a scheduler that led before."""
    other = {"metadata": {"name": "scheduler-2", "namespace": "eco"}, "spec": EXTENDER["spec"]}
    later = REMEMBERED | {"decidedAt": "2026-03-01T08:20:00.001+00:00", "rejected": []}
    answers = {
        PROXY: REMEMBERED,
        PROXY.replace("scheduler-1", "scheduler-2"): later,
        "--selector": {"items": [EXTENDER, other]},
        "get pods job": pod(),
    }
    assert json.loads(explain(answers, "-o", "json").output)["rejected"] == []


def test_what_was_decided_on_another_pod_of_the_name_is_not_told(explain):
    answers = {
        PROXY: REMEMBERED | {"uid": "of a pod before"},
        "--selector": {"items": [EXTENDER]},
        "get pods job": pod(),
    }
    assert "no extender remembers it" in str(explain(answers).exception)


def test_the_annotation_alone_is_enough(explain):
    shown = explain({"get pods job": pod(**{DECISION: json.dumps(DECIDED)})})
    assert shown.exit_code == 0
    assert "n2" in shown.output


def test_a_pod_of_another_scheduler_is_told_so(explain):
    refused = explain({"get pods job": pod()})
    assert refused.exit_code != 0
    assert "no extender remembers it" in str(refused.exception)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_an_annotation_of_somebody_else_is_one_sentence(explain, text):
    refused = explain({"get pods job": pod(**{DECISION: text})}).exception
    assert (
        f"{refused}" == f"annotation {DECISION}: {text!r} is not accepted; the JSON that the extender writes"
    )
