import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import load_catalog
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.fleet_file import FleetFile, NodeGroup, load_fleet

DEMO = Path(__file__).parents[3] / "examples" / "fleets" / "demo.yaml"


def write(tmp_path, text):
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    return path


def group(**changes):
    return {"sku": "p5.48xlarge", "count": 2, "zone": "us-west-2a", **changes}


def test_a_group_becomes_nodes_as_a_cloud_labels_them(tmp_path):
    path = write(
        tmp_path,
        """
        nodes:
          - sku: p5.48xlarge
            count: 2
            zone: us-west-2a
            installed: 2023-06-01
            labels: {example.com/rack: r1}
            allocatable: {cpu: "190", memory: 2000Gi, nvidia.com/gpu: 8}
        """,
    )
    first, second = load_fleet(path).nodes()
    assert (first["metadata"]["name"], second["metadata"]["name"]) == ("p5-48xlarge-0", "p5-48xlarge-1")
    assert first["metadata"]["labels"] == {
        "node.kubernetes.io/instance-type": "p5.48xlarge",
        "topology.kubernetes.io/zone": "us-west-2a",
        "kubernetes.io/hostname": "p5-48xlarge-0",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "ecoserve.dev/installed": "2023-06-01",
        "example.com/rack": "r1",
    }
    assert first["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}
    assert first["status"]["allocatable"] == {
        "cpu": "190",
        "memory": "2000Gi",
        "nvidia.com/gpu": "8",
        "pods": "110",
        "ephemeral-storage": "30400G",
    }
    assert first["status"]["capacity"]["cpu"] == "192"


def test_arm_nodes_say_so_and_nodes_without_gpus_have_no_gpu_labels(tmp_path):
    (node,) = load_fleet(write(tmp_path, "nodes: [{sku: m7g.metal, count: 1, zone: z}]")).nodes()
    labels = node["metadata"]["labels"]
    assert labels["kubernetes.io/arch"] == "arm64"
    assert not [key for key in labels if key.startswith("nvidia.com")]
    assert "nvidia.com/gpu" not in node["status"]["capacity"]


def test_an_instance_type_nobody_knows_is_accepted_with_its_resources(tmp_path):
    path = write(
        tmp_path, "nodes: [{sku: rack-server, count: 1, zone: z, allocatable: {cpu: 64, memory: 256Gi}}]"
    )
    (node,) = load_fleet(path).nodes()
    assert node["status"]["capacity"] == {"cpu": "64", "memory": "256Gi", "pods": "110"}


def test_the_demo_fleet_has_what_the_demo_needs():
    nodes = load_fleet(DEMO).nodes()
    labels = [node["metadata"]["labels"] for node in nodes]
    with_gpus = [each for each in labels if "nvidia.com/gpu.count" in each]
    assert len(with_gpus) >= 8
    assert len({each["nvidia.com/gpu.product"] for each in with_gpus}) == 4
    assert len(labels) - len(with_gpus) == 12
    assert {each["topology.kubernetes.io/zone"] for each in labels} == {"us-west", "us-east"}


@pytest.mark.parametrize(
    ("groups", "field", "told"),
    [
        ([], "nodes", "give at least 1"),
        ([group(count=0)], "nodes.0.count", "greater than or equal to 1"),
        ([group(count="4")], "nodes.0.count", "valid integer"),
        ([group(count=10_001)], "nodes.0.count", "10000"),
        ([group(count=9_000)] * 2, "nodes", "at most 10000 nodes in all"),
        ([{"sku": "p5.48xlarge", "count": 1}], "nodes.0.zone", "must be given"),
        ([group(), group(sku="p5.48xlarg")], "nodes.1.sku", "p5.48xlarge"),
        ([group(sku=5)], "nodes.0.sku", "valid string"),
        ([group(zone="us west")], "nodes.0.zone", "match"),
        ([group(instaled="2023-06-01")], "nodes.0.instaled", "no such field"),
        ([group(installed="June 2023")], "nodes.0.installed", "2023-06-01"),
        ([group(installed=2023)], "nodes.0.installed", "2023-06-01"),
        ([group(labels={"bad key": "x"})], "nodes.0.labels", "example.com/rack"),
        ([group(labels={"rack": "no spaces"})], "nodes.0.labels.rack", "match"),
        ([group(allocatable={"gpu": 8})], "nodes.0.allocatable", "nvidia.com/gpu"),
        ([group(allocatable={"cpu": "many"})], "nodes.0.allocatable.cpu", "quantity"),
        ([group(allocatable={"cpu": float("nan")})], "nodes.0.allocatable.cpu", "quantity"),
        ([group(allocatable={"cpu": -1})], "nodes.0.allocatable.cpu", "quantity"),
        ([group(allocatable={"cpu": 0})], "nodes.0.allocatable.cpu", "more than zero"),
        ([group(allocatable={"cpu": 400})], "nodes.0.allocatable.cpu", "has 192"),
        ([group(allocatable={"nvidia.com/gpu": 7.5})], "nodes.0.allocatable.nvidia.com/gpu", "whole number"),
        ([group(sku="m7i.48xlarge", allocatable={"nvidia.com/gpu": 8})], "nodes.0.allocatable", "has 0"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_field_and_what_is_accepted(tmp_path, groups, field, told):
    path = write(tmp_path, yaml.safe_dump({"nodes": groups}))
    with pytest.raises(InvalidInputError) as raised:
        load_fleet(path)
    assert raised.value.field.startswith(f"{path}: {field}")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "nodes: [", "a: b: c", "kind: Node", "\x00"])
def test_what_is_no_fleet_file_is_refused_by_name(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(InvalidInputError, match=re.escape(str(path))):
        load_fleet(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInputError, match=r"absent\.yaml"):
        load_fleet(tmp_path / "absent.yaml")


@given(
    st.lists(
        st.builds(
            NodeGroup,
            sku=st.sampled_from(sorted(load_catalog().instances)),
            count=st.integers(1, 4),
            zone=st.sampled_from(["a", "b"]),
            name=st.sampled_from([None, "p5-48xlarge", "gpu"]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_node_has_a_valid_name_of_its_own(groups):
    names = [node["metadata"]["name"] for node in FleetFile(nodes=groups).nodes()]
    assert len(set(names)) == len(names) == sum(each.count for each in groups)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) for name in names)
