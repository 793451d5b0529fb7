"""Deployments and templates as pure functions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api import LLMServing
from ecoserve.api.manifests import parse_serving
from ecoserve.errors import InvalidInputError
from ecoserve_operator.acting.deployments import Wanted, build_deployment, is_applied
from ecoserve_operator.acting.template import check_templates, fill
from ecoserve_operator.watch.records import deployment_record

ARGS = [
    "--model=${model}",
    "--tp=${tensorParallelSize}",
    "--role=${role}",
    "--dtype=${precision}",
    "${HOME} $model",
]
SELECTOR = (("node.kubernetes.io/instance-type", "p5.48xlarge"), ("ecoserve.dev/installed", None))


def serving(**spec: Any) -> LLMServing:
    return parse_serving(
        {
            "metadata": {"name": "chat", "namespace": "prod", "uid": "u-1"},
            "spec": {
                "model": {"name": "meta-llama/Llama-3.1-8B-Instruct", "precision": "fp8"},
                "online": {
                    "slo": {"ttft": "1s", "tpot": "50ms"},
                    "load": {"requestsPerSecond": 1, "lengths": "azure-code-2023"},
                },
                "template": {"spec": {"containers": [{"name": "engine", "image": "vllm", "args": ARGS}]}},
                **spec,
            },
        }
    )


def wanted(**changes: Any) -> Wanted:
    defaults: dict[str, Any] = {
        "namespace": "prod",
        "serving": "chat",
        "configuration": "prod/chat/p/both/tp2/online",
        "pool": "p5-48xlarge.west.2024-01-01",
        "selector": SELECTOR,
        "role": "both",
        "traffic_class": "online",
        "scheduling_class": "online",
        "tensor_parallel": 2,
        "cpu_cores": 8.5,
        "memory_gib": 48.0,
        "replicas": 3,
    }
    return Wanted(**(defaults | changes))


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return pod


def test_placeholders_are_exact_tokens_and_the_rest_is_left_alone() -> None:
    (engine,) = pod_of(build_deployment(wanted(), serving(), 3))["containers"]
    assert engine["args"] == [
        "--model=meta-llama/Llama-3.1-8B-Instruct", "--tp=2", "--role=both", "--dtype=fp8", "${HOME} $model",
    ]  # fmt: skip


@given(st.text())
def test_filling_never_fails_and_only_touches_known_tokens(text: str) -> None:
    values = {"model": "M", "tensorParallelSize": "8", "role": "R", "precision": "P"}
    filled = fill({"a": [text, 3, None, True]}, values)["a"]
    assert filled[1:] == [3, None, True]
    assert filled[0] == text or any("${" + name + "}" in text for name in values)


def test_a_gpu_replica_asks_for_devices_cores_and_memory_on_the_engine_only() -> None:
    template = {
        "spec": {
            "containers": [
                {"name": "proxy", "image": "p", "args": ARGS},
                {
                    "name": "engine",
                    "image": "vllm",
                    "resources": {
                        "requests": {"cpu": "1", "ephemeral-storage": "10Gi"},
                        "limits": {"cpu": "2", "memory": "1Gi"},
                    },
                },
            ]
        }
    }
    proxy, engine = pod_of(build_deployment(wanted(), serving(template=template), 1))["containers"]
    assert "resources" not in proxy
    assert engine["resources"] == {
        "requests": {"cpu": "8500m", "memory": "49152Mi", "nvidia.com/gpu": "2", "ephemeral-storage": "10Gi"},
        "limits": {"nvidia.com/gpu": "2"},
    }


def test_accelerators_are_asked_for_by_the_resource_of_their_vendor() -> None:
    template = {
        "spec": {"containers": [{"name": "engine", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    }
    amd = wanted(accelerator_resource="amd.com/gpu")
    pod = pod_of(build_deployment(amd, serving(template=template), 1))
    assert pod["containers"][0]["resources"]["limits"] == {"amd.com/gpu": "2"}
    assert {"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]


def test_without_a_container_named_engine_the_first_is_the_engine() -> None:
    template = {
        "spec": {"containers": [{"name": "a", "image": "x", "args": ARGS}, {"name": "b", "image": "y"}]}
    }
    first, second = pod_of(build_deployment(wanted(), serving(template=template), 1))["containers"]
    assert "resources" in first
    assert "resources" not in second


def test_the_pools_labels_stand_beside_the_templates_own_affinity() -> None:
    own = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["nvme"]}]}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    template = {
        "spec": {
            "containers": [{"name": "engine", "image": "x", "args": ARGS}],
            "affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [own, {}]}}, "podAntiAffinity": {}},
        }
    }
    affinity = pod_of(build_deployment(wanted(), serving(template=template), 1))["affinity"]
    pool = [
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]},
        {"key": "ecoserve.dev/installed", "operator": "DoesNotExist"},
    ]
    terms = affinity["nodeAffinity"][required]["nodeSelectorTerms"]
    assert [term["matchExpressions"] for term in terms] == [own["matchExpressions"] + pool, pool]
    assert affinity["podAntiAffinity"] == {}


def test_a_cpu_replica_takes_the_cpu_template_no_device_and_no_toleration() -> None:
    cpu = {"spec": {"containers": [{"name": "engine", "image": "llama.cpp", "args": ["-m=${model}"]}]}}
    made = build_deployment(
        wanted(tensor_parallel=0, cpu_cores=32.0, traffic_class="offline", scheduling_class="offline"),
        serving(cpuTemplate=cpu),
        1,
    )
    pod = pod_of(made)
    assert pod["containers"][0]["image"] == "llama.cpp"
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "32000m", "memory": "49152Mi"}}
    assert "tolerations" not in pod
    assert pod["priorityClassName"] == "ecoserve-offline"
    assert made["spec"]["template"]["metadata"]["labels"]["ecoserve.dev/class"] == "offline"


def test_offline_traffic_on_accelerators_is_served_by_online_pods() -> None:
    made = build_deployment(wanted(traffic_class="offline"), serving(), 1)
    assert made["metadata"]["name"].endswith("-offline")
    assert made["spec"]["template"]["metadata"]["labels"]["ecoserve.dev/class"] == "online"
    assert "priorityClassName" not in pod_of(made)


def test_owner_labels_scheduler_and_selector() -> None:
    made = build_deployment(wanted(), serving(), 3)
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["name"], owner["uid"], owner["controller"]) == ("chat", "u-1", True)
    labels = made["metadata"]["labels"]
    assert labels["ecoserve.dev/pool"] == "p5-48xlarge.west.2024-01-01"
    assert (
        made["spec"]["selector"]["matchLabels"].items()
        <= made["spec"]["template"]["metadata"]["labels"].items()
    )
    assert pod_of(made)["schedulerName"] == "ecoserve"
    assert pod_of(made)["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize(
    "other", [{"tensor_parallel": 4}, {"role": "decode"}, {"traffic_class": "offline"}, {"pool": "q"}]
)
def test_what_differs_gets_a_name_of_its_own(other: dict[str, Any]) -> None:
    assert wanted().key != wanted(**other).key


@given(st.from_regex(r"[a-z]([a-z0-9.-]{0,61}[a-z0-9])?", fullmatch=True), st.text(min_size=1, max_size=60))
def test_names_are_valid_and_leave_room_for_a_pods_suffix(name: str, pool: str) -> None:
    found = wanted(serving=name, pool=pool).key[1]
    assert len(found) <= 52
    assert found[0].isalnum()
    assert found[-1].isalnum()
    assert all(c.isascii() and (c.isalnum() or c == "-") and not c.isupper() for c in found)


def test_an_unchanged_deployment_is_recognised_and_a_changed_one_is_not() -> None:
    made = build_deployment(wanted(), serving(), 3)
    metadata = {**made["metadata"], "uid": "d-1", "generation": 1}
    running = deployment_record({"metadata": metadata, "spec": made["spec"], "status": {}})
    assert is_applied(made, running)
    assert not is_applied(build_deployment(wanted(), serving(), 4), running)
    assert not is_applied(build_deployment(wanted(memory_gib=50.0), serving(), 3), running)
    assert not is_applied(made, None)


@pytest.mark.parametrize(
    ("args", "roles", "named"),
    [
        (["--model=${model}"], ["both"], "${tensorParallelSize}"),
        (["${tensorParallelSize}"], ["both"], "${model}"),
        (["${model} ${tensorParallelSize}"], ["both", "prefill", "decode"], "${role}"),
        (["$model $(tensorParallelSize)"], ["both"], "${model} and ${tensorParallelSize}"),
    ],
)
def test_a_template_without_its_placeholders_is_refused_with_a_sentence(
    args: list[str], roles: list[str], named: str
) -> None:
    template = {"spec": {"containers": [{"name": "engine", "image": "x", "args": args}]}}
    spec = serving(template=template, placement={"roles": roles}).spec
    with pytest.raises(InvalidInputError) as caught:
        check_templates(spec)
    assert named in str(caught.value)


def test_a_template_without_containers_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"spec\.template\.spec\.containers"):
        check_templates(serving(template={"spec": {}}).spec)


def test_a_complete_template_is_accepted() -> None:
    check_templates(serving(placement={"roles": ["both", "prefill", "decode"]}).spec)


ENGINES = {
    "vllm": (
        [
            "serve",
            "${model}",
            "--tensor-parallel-size=${tensorParallelSize}",
            "--port=${port}",
            '--kv-transfer-config={"kv_connector": "NixlConnector", "kv_role": "${kvRole}"}',
        ],
        {
            "prefill": '"kv_role": "kv_producer"',
            "decode": '"kv_role": "kv_consumer"',
            "both": '"kv_role": "kv_both"',
        },
    ),
    "sglang": (
        [
            "--model-path=${model}",
            "--tp-size=${tensorParallelSize}",
            "--port=${port}",
            "--disaggregation-mode=${disaggregationMode}",
            "--disaggregation-transfer-backend=nixl",
        ],
        {
            "prefill": "--disaggregation-mode=prefill",
            "decode": "--disaggregation-mode=decode",
            "both": "=null",
        },
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("role", ["both", "prefill", "decode"])
def test_roles_are_spelled_as_each_engine_does(engine: str, role: str) -> None:
    args, spelled = ENGINES[engine]
    asked = serving(
        template={"spec": {"containers": [{"name": "engine", "image": engine, "args": args}]}},
        placement={"roles": ["both", "prefill", "decode"]},
        routing={"port": 9000},
    )
    check_templates(asked.spec)
    (container,) = pod_of(build_deployment(wanted(role=role), asked, 1))["containers"]
    assert spelled[role] in " ".join(container["args"])
    assert "--port=9000" in container["args"]
    assert "${" not in " ".join(container["args"])


def test_llama_cpp_gets_the_threads_that_its_replica_asks_for() -> None:
    args = ["--model=/models/${model}.gguf", "--threads=${threads}", "--port=${port}"]
    asked = serving(
        cpuTemplate={"spec": {"containers": [{"name": "engine", "image": "llama", "args": args}]}}
    )
    check_templates(asked.spec)
    on_cores = wanted(tensor_parallel=0, cpu_cores=24.5)
    (container,) = pod_of(build_deployment(on_cores, asked, 1))["containers"]
    assert container["args"][1:] == ["--threads=24", "--port=8000"]
    assert container["resources"]["requests"]["cpu"] == "24500m"
