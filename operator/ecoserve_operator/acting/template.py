"""The engine's pod template and its placeholders.

Placeholders are exact tokens (`${model}`); everything else with a dollar sign is left alone, as shell scripts
in a command use it. They may stand in any string of the template.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ecoserve.api import LLMServingSpec
from ecoserve.api.llmserving import RoleName
from ecoserve.errors import InvalidInputError

MODEL: Final = "model"
TENSOR_PARALLEL: Final = "tensorParallelSize"
ROLE: Final = "role"
PRECISION: Final = "precision"

_TOKEN = re.compile(r"\$\{(" + "|".join((MODEL, TENSOR_PARALLEL, ROLE, PRECISION)) + r")\}")


def check_templates(spec: LLMServingSpec) -> None:
    """Raise InvalidInputError with one sentence where a template can't carry a plan out."""
    if spec.template is None:
        raise InvalidInputError("spec.template", None, "a pod template of the engine is needed to act")
    needed = [MODEL, TENSOR_PARALLEL]
    if {RoleName.PREFILL, RoleName.DECODE} & set(spec.placement.roles):
        needed.append(ROLE)
    _check("spec.template", spec.template, needed)
    if spec.cpu_template is not None:
        _check("spec.cpuTemplate", spec.cpu_template, [MODEL])


def fill(template: Any, values: Mapping[str, str]) -> Any:
    """The template with its placeholders filled in; the given one is not changed."""
    if isinstance(template, str):
        return _TOKEN.sub(lambda match: values[match.group(1)], template)
    if isinstance(template, list | tuple):
        return [fill(item, values) for item in template]
    if isinstance(template, Mapping):
        return {key: fill(value, values) for key, value in template.items()}
    return template


def _check(field: str, template: Mapping[str, Any], needed: list[str]) -> None:
    containers = (template.get("spec") or {}).get("containers")
    if not isinstance(containers, list) or not containers:
        raise InvalidInputError(f"{field}.spec.containers", containers, "at least one container is needed")
    found = {token for text in _strings(template) for token in _TOKEN.findall(text)}
    missing = [f"${{{name}}}" for name in needed if name not in found]
    if missing:
        raise InvalidInputError(
            field, f"a template without {' and '.join(missing)}", "the engine must be told each of them"
        )


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _strings(item)
