import pytest
import yaml

from ecoserve.api import labels
from ecoserve_devcluster import stages


def parsed(serving_start_seconds=3.0, job_seconds=60.0):
    documents = yaml.safe_load_all(stages.stages(serving_start_seconds, job_seconds))
    return {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "Stage"}


def test_the_stages_are_those_of_a_node_and_a_pod_from_start_to_end():
    assert list(parsed()) == [
        "node-initialize",
        "node-heartbeat-with-lease",
        "pod-ready",
        "pod-loading",
        "pod-loaded",
        "pod-complete",
        "pod-delete",
    ]


def test_settings_become_delays():
    specs = parsed(serving_start_seconds=0.25, job_seconds=7)
    assert specs["pod-loaded"]["delay"] == {"durationMilliseconds": 250}
    assert specs["pod-complete"]["delay"]["durationMilliseconds"] == 7000
    assert (
        "ecoserve.dev/simulated-duration" in specs["pod-complete"]["delay"]["durationFrom"]["expressionFrom"]
    )


def test_the_label_of_serving_pods_is_the_one_the_api_fixes():
    assert stages.SERVING_LABEL == labels.SERVING


@pytest.mark.parametrize(("name", "operator"), [("pod-ready", "DoesNotExist"), ("pod-loading", "Exists")])
def test_only_serving_pods_load_a_model(name, operator):
    (condition,) = (
        each for each in parsed()[name]["selector"]["matchExpressions"] if "serving" in each["key"]
    )
    assert condition["operator"] == operator
