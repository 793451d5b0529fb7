"""From a pydantic model to the structural OpenAPI schema a CRD wants.

A CRD's schema is a subset of OpenAPI 3.0: no references, no null types, exclusive bounds as booleans,
and no `additionalProperties: false` (the API server prunes or refuses unknown fields by itself). This
module rewrites pydantic's JSON Schema into that subset and changes nothing of its meaning.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

_DROPPED = {"title", "additionalProperties", "$defs"}


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of `model`, with defaults, bounds, descriptions and CEL rules."""
    generated = model.model_json_schema(by_alias=True, mode="validation", schema_generator=GenerateJsonSchema)
    return _convert(generated, generated.get("$defs", {}))


def _convert(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = _without_null(_resolved(node, definitions))
    node = _resolved(node, definitions)
    result = {key: value for key, value in node.items() if key not in _DROPPED and key != "properties"}
    if "properties" in node:
        required = node.get("required", ())
        result["properties"] = {
            name: _convert(child, definitions)
            if name in required
            else _with_default(_convert(child, definitions), child)
            for name, child in node["properties"].items()
        }
    elif isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _convert(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if "enum" in result and "type" not in result:
        result["type"] = "string"
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in result:
            result[bound], result[exclusive] = result[exclusive], True
    if result.get("default", ...) is None:
        del result["default"]
    return result


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref`; what stands beside it (description, default) wins over what it refers to."""
    while "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """`X | None` is simply an optional X: absent, never null."""
    choices = [choice for choice in node.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return {**choices[0], **rest}
    return node


def _with_default(schema: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """Default an optional object whose fields all have defaults to those, written out.

    Written out because the API server checks a default against the CEL rules as it stands, before the
    defaults of its fields apply; `{}` would fail every rule that names a field.
    """
    defaulted_object = (
        schema.get("type") == "object"
        and "properties" in schema
        and not schema.get("required")
        and "anyOf" not in source
        and "default" not in schema
    )
    default = {
        name: child["default"] for name, child in schema.get("properties", {}).items() if "default" in child
    }
    return {**schema, "default": default} if defaulted_object and default else schema
