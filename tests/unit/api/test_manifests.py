"""Reading manifests without a cluster: what is read, and one sentence for each mistake."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api.manifests import load_manifests
from ecoserve.errors import EcoserveError, InvalidInputError

SERVING = """
apiVersion: ecoserve.dev/v1alpha1
kind: LLMServing
metadata: {name: chat}
spec:
  model: {name: m}
  online:
    slo: {ttft: 500ms, tpot: 50ms}
    load: {requestsPerSecond: 5.5, lengths: azure-conversation-2023}
"""
ZONE = """
apiVersion: ecoserve.dev/v1alpha1
kind: GridZone
metadata: {name: west}
spec: {intensity: {gramsPerKilowattHour: 261}}
"""
PROFILE = """
apiVersion: ecoserve.dev/v1alpha1
kind: HardwareProfile
metadata: {name: lab}
spec: {base: p5.48xlarge, matchLabels: {lab: "yes"}}
"""
NODE = "{apiVersion: v1, kind: Node, metadata: {name: n}}"
CONFIG_MAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}"
JOB = "{apiVersion: batch/v1, kind: Job, metadata: {name: j}}"
FLEET = "nodes: [{sku: p5.48xlarge, count: 1, zone: west}]"


def write(folder: Path, *documents: str, name: str = "all.yaml") -> Path:
    path = folder / name
    path.write_text("\n---\n".join(documents))
    return path


def test_each_kind_finds_its_place(tmp_path: Path) -> None:
    read = load_manifests([write(tmp_path, SERVING, "", ZONE, PROFILE, NODE, CONFIG_MAP, JOB)])
    assert [serving.metadata.name for serving in read.servings] == ["chat"]
    assert [zone.metadata.name for zone in read.grid_zones] == ["west"]
    assert [profile.metadata.name for profile in read.profiles] == ["lab"]
    assert [node["metadata"]["name"] for node in read.nodes] == ["n"]
    assert [config["metadata"]["name"] for config in read.config_maps] == ["c"]
    assert read.fleets == ()


def test_defaults_are_those_of_the_crd(tmp_path: Path) -> None:
    (serving,) = load_manifests([write(tmp_path, SERVING)]).servings
    assert serving.spec.placement.max_replicas == 64
    assert serving.spec.policy.mode == "Enforce"


def test_folder_is_read_in_order_and_other_files_left(tmp_path: Path) -> None:
    write(tmp_path, ZONE.replace("west", "b"), name="2.yaml")
    write(tmp_path, ZONE.replace("west", "a"), name="1.yml")
    write(tmp_path, FLEET, name="3.yaml")
    write(tmp_path, "not: [yaml", name="notes.txt")
    read = load_manifests([tmp_path])
    assert [zone.metadata.name for zone in read.grid_zones] == ["a", "b"]
    assert read.fleets == (tmp_path / "3.yaml",)


def test_list_is_unfolded(tmp_path: Path) -> None:
    document = {"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(ZONE), yaml.safe_load(SERVING)]}
    read = load_manifests([write(tmp_path, yaml.safe_dump(document))])
    assert (len(read.servings), len(read.grid_zones)) == (1, 1)


def test_same_name_in_another_namespace_is_another_serving(tmp_path: Path) -> None:
    other = SERVING.replace("{name: chat}", "{name: chat, namespace: other}")
    assert len(load_manifests([write(tmp_path, SERVING, other)]).servings) == 2


MISTAKES = {
    "bad YAML": ("a: [b", "it must be valid JSON or YAML"),
    "tab": ("a:\n\tb: c", "it must be valid JSON or YAML"),
    "text": ("hello", "each document or item in it must be a Kubernetes object or a fleet"),
    "list": ("[1, 2]", "each document or item in it must be a Kubernetes object or a fleet"),
    "no kind": ("{apiVersion: v1}", "every object needs an apiVersion and a kind"),
    "unknown kind": (ZONE.replace("GridZone", "GridZones"), "kind: 'GridZones' is not accepted; known names are GridZone"),
    "wrong version": (
        ZONE.replace("v1alpha1", "v1"),
        "apiVersion: 'ecoserve.dev/v1' is not accepted; known is ecoserve.dev/v1alpha1",
    ),
    "duplicate": (f"{ZONE}---{ZONE}", "metadata.name: 'west' is not accepted; each GridZone needs a name of its own"),
    "no name": (ZONE.replace("{name: west}", "{}"), "metadata.name: None is not accepted; this field must be given"),
    "metadata that is a list": (ZONE.replace("{name: west}", "[]"), "metadata"),
    "missing field": (SERVING.replace("{name: m}", "{}"), "LLMServing chat: spec.model.name: None is not accepted; this field must be given"),
    "misspelled field": (
        SERVING.replace("ttft", "tfft"),
        "spec.online.slo.tfft: '500ms' is not accepted; there is no such field; check its spelling",
    ),
    "zero rate": (SERVING.replace("5.5", "0"), "spec.online.load.requestsPerSecond: 0 is not accepted; input should be greater than 0"),
    "NaN rate": (SERVING.replace("5.5", ".nan"), "spec.online.load.requestsPerSecond: nan is not accepted"),
    "bad duration": (SERVING.replace("500ms", "fast"), "spec.online.slo.ttft: 'fast' is not accepted; a positive duration with a unit"),
    "two intensities": (
        ZONE.replace("261", "261, configMap: {namespace: a, name: b}"),
        "give exactly one of gramsPerKilowattHour, configMap, electricityMaps",
    ),
    "items that are no list": ("{kind: List, items: 3}", "each document or item in it must be a Kubernetes object or a fleet"),
    "items that are no objects": ("{kind: List, items: [3]}", "each document or item in it must be a Kubernetes object or a fleet"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_is_told_in_one_sentence_that_names_the_file(tmp_path: Path, case: str) -> None:
    text, sentence = MISTAKES[case]
    path = write(tmp_path, text)
    with pytest.raises(InvalidInputError) as raised:
        load_manifests([path])
    told = str(raised.value)
    assert sentence in told
    assert str(path) in told
    assert "\n" not in told


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nothing.yaml' is not accepted; give a YAML or JSON file"):
        load_manifests([tmp_path / "nothing.yaml"])


def test_unreadable_bytes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"\xff\xfe\x00kind: \x80")
    with pytest.raises(InvalidInputError, match="it is not UTF-8 text"):
        load_manifests([path])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = ["apiVersion", "kind", "metadata", "spec", "nodes", "items"]


@given(
    base=st.sampled_from([SERVING, ZONE, PROFILE, NODE, "{kind: List, items: []}"]),
    field=st.sampled_from(fields),
    value=values,
)
def test_anything_anywhere_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, base: str, field: str, value: Any
) -> None:
    document = {**yaml.safe_load(base), field: value}
    path = write(tmp_path_factory.mktemp("any"), yaml.safe_dump(document))
    with suppress(EcoserveError):  # anything else would be a traceback
        load_manifests([path])
