"""Options that several commands of `ecoserve` share, and how their values are read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"


Files = Annotated[
    list[Path], typer.Option("-f", "--file", help="Manifests and fleet files, or folders of them.")
]
Intensities = Annotated[
    list[str] | None,
    typer.Option(help="gCO2e/kWh for every zone, or ZONE=gCO2e/kWh; may be repeated."),
]
Disabled = Annotated[
    str, typer.Option(help="Levers to turn off: reduce, reuse, rightsize, recycle, by commas.")
]
Coefficients = Annotated[
    str, typer.Option(help="Set of embodied coefficients: ecoserve, ecoserve-2025, act, greensku, boavizta.")
]
At = Annotated[str | None, typer.Option(help="Time to plan for, ISO 8601; default: now.")]
Gap = Annotated[float, typer.Option(help="Relative gap at which a search may stop.")]
TimeLimit = Annotated[float, typer.Option(help="Seconds that one search may take.")]
OutputFormat = Annotated[Output, typer.Option(help="table or json.")]


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of a list separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
