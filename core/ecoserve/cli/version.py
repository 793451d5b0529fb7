"""`--version`, of every command: an answer to "which one is this?" that needs nothing else to work."""

from importlib.metadata import version
from typing import Annotated

import typer


def _show(wanted: bool) -> None:
    if wanted:
        print(version("ecoserve-kubernetes"))
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_show, is_eager=True, help="Show the version and exit.")
]
