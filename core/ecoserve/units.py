"""Units: the constants of conversion, and Kubernetes' spellings parsed once, at the edge.

Inside the project a quantity is a float whose unit stands in its name. Only this module reads the
strings people write: Kubernetes quantities (`500m`, `16Gi`) and durations (`500ms`, `1h30m`).
"""

import math
import re

from ecoserve.errors import InvalidInputError

GIB = 2.0**30
JOULES_PER_KWH = 3.6e6
HOURS_PER_YEAR = 8760.0
GRAMS_PER_TONNE = 1e6
SECONDS_PER_HOUR = 3600.0
MOST_GRAMS_PER_KWH = 10_000.0
"""No grid comes near it (coal alone is about 1,000): a larger intensity is one in another unit."""
MOST_DEVICES = 1e6
MOST_CORES = 1e6
MOST_MEMORY_GIB = 1e8
"""Of one node: no machine comes near any of them, and a planning instance takes no more."""

_SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([KMGTPE]i|[numkMGTPE]?)$")

_DURATION_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_SECONDS = 10_000 * 86_400.0
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")

DURATION_PATTERN = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"
"""The same grammar as a regular expression for an OpenAPI schema."""


def parse_quantity(text: str | int | float, field: str = "quantity") -> float:
    """Parse a Kubernetes quantity (`500m`, `16Gi`, `4`) into its base unit (cores, bytes, devices).

    Raises InvalidInputError naming `field` where the text is no finite quantity or is negative.
    """
    match = _QUANTITY.match(str(text).strip())
    value = float(match.group(1)) * _SUFFIXES[match.group(2)] if match else math.nan
    if not math.isfinite(value) or value < 0:
        raise InvalidInputError(field, text, "a Kubernetes quantity of zero or more, such as 500m, 4 or 16Gi")
    return value


def parse_duration(text: str, field: str = "duration") -> float:
    """Parse a duration such as `500ms`, `24h` or `1h30m` into seconds.

    Raises InvalidInputError naming `field` where the text is no positive duration.
    """
    parts = _DURATION_PART.findall(str(text))
    seconds = sum(float(number) * _DURATION_SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= _LONGEST_SECONDS:
        raise InvalidInputError(
            field, text, "a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m, up to 10000d"
        )
    return seconds
