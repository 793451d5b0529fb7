"""The engine's pod template and its placeholders.

Placeholders are exact tokens (`${model}`); everything else with a dollar sign is left alone, as shell scripts
in a command use it. They may stand in any string of the template.

Engines name the same things differently, so a role has three spellings: ours, the `kv_role` of vLLM's
--kv-transfer-config, and SGLang's --disaggregation-mode. Threads are whole vCPUs of the request, for llama.cpp's
--threads and its like.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ecoserve.api import LLMServingSpec
from ecoserve.api.llmserving import RoleName
from ecoserve.api.routing import RoutingSpec
from ecoserve.errors import InvalidInputError

MODEL: Final = "model"
TENSOR_PARALLEL: Final = "tensorParallelSize"
ROLE: Final = "role"
PRECISION: Final = "precision"

KV_ROLE: Final = "kvRole"
DISAGGREGATION_MODE: Final = "disaggregationMode"
THREADS: Final = "threads"
PORT: Final = "port"

_ROLES = (ROLE, KV_ROLE, DISAGGREGATION_MODE)
_TOKEN = re.compile(r"\$\{(" + "|".join((MODEL, TENSOR_PARALLEL, PRECISION, THREADS, PORT, *_ROLES)) + r")\}")
_KV_ROLES = {RoleName.BOTH: "kv_both", RoleName.PREFILL: "kv_producer", RoleName.DECODE: "kv_consumer"}
_MODES = {RoleName.BOTH: "null", RoleName.PREFILL: "prefill", RoleName.DECODE: "decode"}
_DEFAULT_PORT = RoutingSpec().port


def values_of(spec: LLMServingSpec, role: str, tensor_parallel: int, cpu_cores: float) -> dict[str, str]:
    """What each placeholder stands for in the pods of one Deployment."""
    return {
        MODEL: spec.model.name,
        TENSOR_PARALLEL: str(max(1, tensor_parallel)),
        PRECISION: spec.model.precision,
        ROLE: role,
        KV_ROLE: _KV_ROLES[RoleName(role)],
        DISAGGREGATION_MODE: _MODES[RoleName(role)],
        THREADS: str(max(1, int(cpu_cores))),
        PORT: str(spec.routing.port if spec.routing is not None else _DEFAULT_PORT),
    }


def check_templates(spec: LLMServingSpec) -> None:
    """Raise InvalidInputError with one sentence where a template can't carry a plan out."""
    if spec.template is None:
        raise InvalidInputError("spec.template", None, "a pod template of the engine is needed to act")
    needed: list[tuple[str, ...]] = [(MODEL,), (TENSOR_PARALLEL,)]
    if {RoleName.PREFILL, RoleName.DECODE} & set(spec.placement.roles):
        needed.append(_ROLES)
    _check("spec.template", spec.template, needed)
    if spec.cpu_template is not None:
        _check("spec.cpuTemplate", spec.cpu_template, [(MODEL,)])


def fill(template: Any, values: Mapping[str, str]) -> Any:
    """The template with its placeholders filled in; the given one is not changed."""
    if isinstance(template, str):
        return _TOKEN.sub(lambda match: values[match.group(1)], template)
    if isinstance(template, list | tuple):
        return [fill(item, values) for item in template]
    if isinstance(template, Mapping):
        return {key: fill(value, values) for key, value in template.items()}
    return template


def _check(field: str, template: Mapping[str, Any], needed: Iterable[tuple[str, ...]]) -> None:
    containers = (template.get("spec") or {}).get("containers")
    if not isinstance(containers, list) or not containers:
        raise InvalidInputError(f"{field}.spec.containers", containers, "at least one container is needed")
    found = {token for text in _strings(template) for token in _TOKEN.findall(text)}
    missing = [" or ".join(f"${{{name}}}" for name in names) for names in needed if found.isdisjoint(names)]
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
