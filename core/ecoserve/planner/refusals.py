"""What is wrong with an instance, in one sentence: the first finding of pydantic with the unit that is meant."""

from collections.abc import Mapping

from pydantic import ValidationError

from ecoserve.errors import InvalidInputError

_UNITS: Mapping[str, str] = {
    "carbonIntensity": "in gCO2e/kWh; grids have 10 to 1,500",
    "pue": "a factor such as 1.12, not percent",
    "nodes": "a number of nodes",
    "rate": "in requests per second",
    "maxRate": "in requests per second and replica",
    "energyPerRequestJoules": "in joules",
    "latencySeconds": "in seconds",
    "powerWatts": "in watts",
    "embodiedGramsPerHour": "in grams per hour",
    "coldStartGrams": "in grams",
    "costPerHour": "in $ per hour",
    "carbonPricePerTonne": "in $ per tonne",
    "gpu": "in devices",
    "cpu": "in cores",
    "memoryGiB": "in GiB",
    "headroom": "a share such as 0.2, not percent",
    "relativeGap": "a share such as 0.01, not percent",
    "timeLimitSeconds": "in seconds",
    "minReplicas": "a number of replicas",
    "maxReplicas": "a number of replicas",
    "churnBudget": "a number of replicas",
}
"""What a number means, told where one is refused: most often it is one in another unit."""


def first_problem(error: ValidationError) -> InvalidInputError:
    """Return the first finding as a sentence; an unknown field first, as misspelt it leaves another missing."""
    findings = error.errors(include_url=False)
    detail = next((each for each in findings if each["type"] == "extra_forbidden"), findings[0])
    field = "".join(
        f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"
        for part in detail["loc"]
    ).lstrip(".")
    value = detail["input"]
    if detail["type"] == "missing":
        return InvalidInputError(field, None, "this field is required")
    if detail["type"] == "extra_forbidden":
        return InvalidInputError(field, value, "no field of this name is known here")
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    unit = next((_UNITS[str(part)] for part in reversed(detail["loc"]) if part in _UNITS), "")
    return InvalidInputError(field or "instance", value, f"{message}, {unit}" if unit else message)
