"""From pydantic to the subset of OpenAPI that a CRD takes."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ecoserve.api import GridZoneSpec, HardwareProfileSpec, LLMServingSpec, PlacementPlanSpec
from ecoserve.api.base import RULES, ApiModel, cel, rules
from ecoserve.api.crds import build_crds
from ecoserve.api.schema import structural_schema


class Inner(ApiModel):
    """An inner object."""

    size: int = 3
    name: str = "x"


class Outer(ApiModel):
    """An outer object."""

    model_config = ConfigDict(json_schema_extra=rules(cel("self.count < 5", "count must be below 5")))

    count: Annotated[int, Field(gt=0, lt=9)]
    kind: Literal["Outer"] = "Outer"
    some_choice: Literal["a", "b"] | None = None
    inner: Inner = Field(default_factory=Inner, description="What is inside.")
    needed: Inner
    absent: Inner | None = None
    many: tuple[Inner, ...] = ()
    labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(default_factory=dict)


@pytest.fixture(scope="module")
def outer() -> dict[str, Any]:
    return structural_schema(Outer)


def test_fields_are_camel_case_and_required_as_declared(outer: dict[str, Any]) -> None:
    assert "someChoice" in outer["properties"]
    assert outer["required"] == ["count", "needed"]


def test_exclusive_bounds_are_flags(outer: dict[str, Any]) -> None:
    count = outer["properties"]["count"]
    assert (count["minimum"], count["exclusiveMinimum"]) == (0, True)
    assert (count["maximum"], count["exclusiveMaximum"]) == (9, True)


def test_constants_and_choices_are_enums(outer: dict[str, Any]) -> None:
    assert outer["properties"]["kind"] == {"type": "string", "enum": ["Outer"], "default": "Outer"}
    assert outer["properties"]["someChoice"] == {"type": "string", "enum": ["a", "b"]}


def test_defaults_of_an_optional_object_are_written_out(outer: dict[str, Any]) -> None:
    inner = outer["properties"]["inner"]
    assert inner["default"] == {"size": 3, "name": "x"}
    assert inner["description"] == "What is inside."


@pytest.mark.parametrize("field", ["needed", "absent"])
def test_required_and_absent_objects_have_no_default(outer: dict[str, Any], field: str) -> None:
    assert "default" not in outer["properties"][field]


def test_rules_reach_the_schema(outer: dict[str, Any]) -> None:
    assert outer[RULES] == [{"rule": "self.count < 5", "message": "count must be below 5"}]


def test_maps_keep_the_bounds_of_their_values(outer: dict[str, Any]) -> None:
    assert outer["properties"]["labels"]["additionalProperties"] == {"type": "string", "maxLength": 63}


def nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for child in schema.get("properties", {}).values():
        yield from nodes(child)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key])


@pytest.mark.parametrize(
    "model", [Outer, LLMServingSpec, GridZoneSpec, HardwareProfileSpec, PlacementPlanSpec]
)
def test_schema_is_structural(model: type[BaseModel]) -> None:
    for node in nodes(structural_schema(model)):
        assert not {"$ref", "$defs", "anyOf", "allOf", "oneOf", "title", "const"} & set(node)
        assert "type" in node
        assert node["type"] != "null"
        assert not isinstance(node.get("exclusiveMinimum", True), float | int) or isinstance(
            node.get("exclusiveMinimum", True), bool
        )


@pytest.mark.parametrize("crd", build_crds(), ids=lambda crd: crd["metadata"]["name"])
def test_columns_follow_the_conventions(crd: dict[str, Any]) -> None:
    (version,) = crd["spec"]["versions"]
    shown = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert 4 <= len(shown) <= 7
    assert shown[-1] == "Age"


@pytest.mark.parametrize("crd", build_crds(), ids=lambda crd: crd["metadata"]["name"])
def test_every_rule_has_a_sentence(crd: dict[str, Any]) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found = [rule for node in nodes(schema) for rule in node.get(RULES, ())]
    assert all(rule["message"] and not rule["message"].endswith(".") for rule in found)


def undescribed(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Fields of which `kubectl explain` would print a name and nothing else."""
    for name, child in schema.get("properties", {}).items():
        if "description" not in child:
            yield f"{path}.{name}"
        yield from undescribed(child, f"{path}.{name}")
        yield from undescribed(child.get("items", {}), f"{path}.{name}")


@pytest.mark.parametrize("part", ["spec", "status"])
@pytest.mark.parametrize("crd", build_crds(), ids=lambda crd: crd["metadata"]["name"])
def test_kubectl_explains_every_field(crd: dict[str, Any], part: str) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    assert list(undescribed(schema.get(part, {}), part)) == []
