"""Nodes by the labels that clouds, the GPU operators and node feature discovery really set."""

import json
from pathlib import Path

import pytest
import yaml

from ecoserve.api import HardwareProfile
from ecoserve.catalog import load_catalog
from ecoserve.cli.app import run
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.identity import identify
from ecoserve.fleet.nodes import NodeFacts, Resources, node_facts
from ecoserve.fleet.pools import pools_from_nodes
from ecoserve.fleet.suggestion import suggested_profiles

CATALOG = load_catalog()

EKS = {
    "beta.kubernetes.io/arch": "amd64",
    "kubernetes.io/hostname": "ip-10-0-1-7.us-west-2.compute.internal",
    "eks.amazonaws.com/nodegroup": "gpu",
    "k8s.io/cloud-provider-aws": "f4a1",
    "node.kubernetes.io/instance-type": "p5.48xlarge",
    "topology.kubernetes.io/region": "us-west-2",
    "topology.kubernetes.io/zone": "us-west-2a",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.replicas": "1",
    "nvidia.com/gpu.sharing-strategy": "none",
    "nvidia.com/mig.capable": "true",
    "nvidia.com/mig.strategy": "single",
}
AKS = {
    "agentpool": "h100",
    "kubernetes.azure.com/accelerator": "nvidia",
    "node.kubernetes.io/instance-type": "Standard_ND96isr_H100_v5",
    "topology.kubernetes.io/zone": "eastus-1",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
}
AKS_PCIE = {
    "node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4",
    "topology.kubernetes.io/zone": "westeurope-2",
    "nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe",
}
GKE = {
    "cloud.google.com/gke-accelerator": "nvidia-h100-80gb",
    "cloud.google.com/gke-gpu-driver-version": "latest",
    "cloud.google.com/machine-family": "a3",
    "node.kubernetes.io/instance-type": "a3-highgpu-8g",
    "topology.kubernetes.io/zone": "us-central1-a",
}
NFD_SPR = {
    "feature.node.kubernetes.io/cpu-model.vendor_id": "Intel",
    "feature.node.kubernetes.io/cpu-model.family": "6",
    "feature.node.kubernetes.io/cpu-model.id": "143",
    "feature.node.kubernetes.io/cpu-hardware_multithreading": "true",
    "feature.node.kubernetes.io/cpu-cpuid.AMXBF16": "true",
}
NFD_GENOA = {
    "feature.node.kubernetes.io/cpu-model.vendor_id": "AMD",
    "feature.node.kubernetes.io/cpu-model.family": "25",
    "feature.node.kubernetes.io/cpu-model.id": "17",
    "feature.node.kubernetes.io/cpu-hardware_multithreading": "false",
}
RACK = {"topology.kubernetes.io/zone": "hall-2", "kubernetes.io/hostname": "rack-7"}
L40S = {"nvidia.com/gpu.product": "NVIDIA-L40S", "nvidia.com/gpu.count": "4"}
MI300X = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}


def node(labels: dict[str, str], gpu: float = 8, cpu: float = 222, memory_gib: float = 1005) -> NodeFacts:
    allocatable = Resources(gpu=gpu, cpu=cpu, memory_gib=memory_gib)
    return NodeFacts(name="n", labels=labels, allocatable=allocatable)


@pytest.mark.parametrize(
    ("labels", "instance", "accelerator", "count"),
    [
        (EKS, "p5.48xlarge", "h100-sxm", 8),
        (AKS, "Standard_ND96isr_H100_v5", "h100-sxm", 8),
        (AKS_PCIE, "Standard_NC24ads_A100_v4", "a100-80-pcie", 1),
        (GKE, "a3-highgpu-8g", "h100-sxm", 8),
        ({"node.kubernetes.io/instance-type": "Standard_NC4as_T4_v3", "nvidia.com/gpu.product": "Tesla-T4"},
         "Standard_NC4as_T4_v3", "t4", 1),
    ],
)  # fmt: skip
def test_a_cloud_node_is_told_by_its_instance_type(labels, instance, accelerator, count):
    found = identify(node(labels), CATALOG).instance
    assert (found.id, found.accelerator.id, found.accelerator_count) == (instance, accelerator, count)


def test_the_product_corrects_the_accelerator_of_an_instance_type():
    found = identify(node(EKS | {"nvidia.com/gpu.product": "NVIDIA-H200"}), CATALOG)
    assert found.instance.accelerator.id == "h200-sxm"
    assert found.told_by == ("nvidia.com/gpu.product",)
    unknown = identify(node(EKS | {"nvidia.com/gpu.product": "NVIDIA-H100-next"}), CATALOG)
    assert unknown.instance.accelerator.id == "h100-sxm"


@pytest.mark.parametrize(
    ("labels", "accelerator", "count", "cpu", "sockets"),
    [
        (RACK | NFD_SPR | L40S, "l40s", 4, "xeon-8480plus", 2),
        (RACK | NFD_GENOA | MI300X, "mi300x", 8, "epyc-9654", 3),  # 222 whole cores
        (RACK | NFD_SPR | {"node.kubernetes.io/instance-type": "rke2"} | L40S, "l40s", 4, "xeon-8480plus", 2),
        (RACK | NFD_SPR, None, 0, "xeon-8480plus", 2),
    ],
)
def test_a_node_of_ones_own_is_put_together_from_its_labels(labels, accelerator, count, cpu, sockets):
    found = identify(node(labels), CATALOG)
    instance = found.instance
    assert (instance.accelerator.id if instance.accelerator else None) == accelerator
    assert (instance.accelerator_count, instance.cpu.id, instance.sockets) == (count, cpu, sockets)
    assert (instance.vcpus, instance.memory_gib) == (222, 1005)
    assert f"{instance.id}.ssd_gb" in instance.unchecked_figures
    assert found.supply == ("scalable" if accelerator else "fixed")


def test_nodes_put_together_pool_by_what_they_were_told_by():
    nodes = [
        NodeFacts(
            name=name, labels=RACK | NFD_SPR | gpus, allocatable=Resources(gpu=4, cpu=220, memory_gib=500)
        )
        for name, gpus in (("a", L40S), ("b", L40S), ("c", L40S | {"nvidia.com/gpu.product": "NVIDIA-L4"}))
    ]
    pools, unknown = pools_from_nodes(nodes, CATALOG)
    assert not unknown
    assert {pool.name: pool.node_names for pool in pools} == {
        "4xl40s-xeon-8480plus.hall-2": ("a", "b"),
        "4xl4-xeon-8480plus.hall-2": ("c",),
    }
    for pool in pools:
        assert (
            "nvidia.com/gpu.product",
            f"NVIDIA-{'L40S' if 'l40s' in pool.name else 'L4'}",
        ) in pool.selector


@pytest.mark.parametrize(
    "labels",
    [
        EKS | {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"},
        EKS | {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED"},
        EKS | {"nvidia.com/gpu.sharing-strategy": "time-slicing"},
        RACK | NFD_SPR | {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"},
    ],
)
def test_slices_are_not_taken_for_whole_accelerators(labels):
    with pytest.raises(InvalidInputError, match="slices"):
        identify(node(labels, gpu=56), CATALOG)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (RACK, "instance-type: None .* suggest"),
        (RACK | L40S, "its nvidia.com/gpu.product is NVIDIA-L40S.*suggest"),
        (RACK | NFD_SPR | {"nvidia.com/gpu.product": "NVIDIA-B900"}, "'NVIDIA-B900'.*suggest"),
        (RACK | NFD_SPR | {"node-role.kubernetes.io/control-plane": ""}, "control-plane"),
        ({"node.kubernetes.io/instance-type": "p9.mega"}, "p9.mega.*suggest"),
        (RACK | NFD_SPR | {"feature.node.kubernetes.io/cpu-model.id": "999"}, "processor.*suggest"),
    ],
)
def test_what_is_not_known_tells_what_to_add(labels, message):
    with pytest.raises(InvalidInputError, match=message):
        identify(node(labels), CATALOG)


@pytest.mark.parametrize(
    "labels",
    [
        RACK,
        RACK | L40S,
        RACK | NFD_SPR | {"nvidia.com/gpu.product": "NVIDIA-B900", "nvidia.com/gpu.count": "4"},
        {"node.kubernetes.io/instance-type": "p9.mega"},
        EKS | {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"},
    ],
)
def test_a_suggested_profile_makes_the_node_known(labels):
    unknown = node(labels)
    (text,) = suggested_profiles([unknown], CATALOG)
    profile = HardwareProfile.model_validate(yaml.safe_load(text))
    assert profile.spec.match_labels.items() <= labels.items()
    found = identify(unknown, CATALOG, profile)
    assert found.instance.vcpus == 222
    assert found.instance.accelerator_count == int(labels.get("nvidia.com/gpu.count", "8"))


def test_suggestions_by_the_command_line(tmp_path: Path, capsys):
    items = [
        {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"allocatable": {"cpu": "110", "memory": "500Gi", "nvidia.com/gpu": "4"}},
        }
        for name, labels in (("a", RACK | L40S), ("b", RACK | L40S), ("known", EKS))
    ]  # fmt: skip
    path = tmp_path / "nodes.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    assert run(["profile", "suggest", "-f", str(path)]) == 0
    (document,) = list(yaml.safe_load_all(capsys.readouterr().out))
    assert document["spec"]["matchLabels"] == {"nvidia.com/gpu.product": "NVIDIA-L40S"}
    assert run(["profile", "suggest", "-f", str(path), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [document]
    profile = tmp_path / "profile.yaml"
    profile.write_text(yaml.safe_dump(document))
    assert run(["profile", "suggest", "-f", str(path), "-f", str(profile)]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "every node is known\n")


def test_accelerators_of_either_vendor_count():
    manifest = {"metadata": {"name": "n"}, "status": {"allocatable": {"amd.com/gpu": "8", "cpu": "190"}}}
    assert node_facts(manifest).allocatable.gpu == 8


def test_pools_know_the_resource_of_their_accelerators():
    nodes = [node(RACK | NFD_GENOA | MI300X), node(EKS)]
    pools, _ = pools_from_nodes(nodes, CATALOG)
    assert {pool.instance.accelerator.vendor: pool.accelerator_resource for pool in pools} == {
        "AMD": "amd.com/gpu",
        "NVIDIA": "nvidia.com/gpu",
    }
