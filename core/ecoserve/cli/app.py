"""Entry point of `ecoserve`: commands, and how errors and exit statuses leave.

Exit status 0 for an answer, 2 for bad input (one line on standard error, nothing half-written), 3 where some
demand cannot be served.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ecoserve.cli.models_app import models_app
from ecoserve.cli.planning_app import planning_app
from ecoserve.cli.profile_app import profile_app
from ecoserve.cli.version import VersionOption
from ecoserve.errors import EcoserveError

_BAD_INPUT = 2
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer's error for a wrong command line; it carries a Click of its own and doesn't export this base class."""


app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True
)
app.add_typer(planning_app)
app.add_typer(models_app)
app.add_typer(profile_app, name="profile")


@app.callback()
def ecoserve(
    context: typer.Context,
    catalog: Annotated[
        list[Path] | None,
        typer.Option(envvar="ECOSERVE_CATALOG", help="Catalogue files with hardware and models of your own."),
    ] = None,
    _version: VersionOption = False,
) -> None:
    """Carbon-aware placement of LLM serving: plan, compare and explain, with or without a cluster."""
    if catalog:
        from ecoserve.catalog.loading import catalog_in_use
        from ecoserve.catalog.overlay import extended_catalog

        context.with_resource(catalog_in_use(extended_catalog(catalog)))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        status = app(args=arguments, standalone_mode=False)
    except EcoserveError as error:
        return _fail(str(error))
    except _USAGE_ERROR as error:
        message = getattr(error, "format_message", error.__str__)()
        if message.startswith("Usage:"):  # no command was given: the help, line by line
            print(message, file=sys.stderr)
            return _BAD_INPUT
        return _fail(message)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 0
    return status if isinstance(status, int) else 0


def main() -> None:
    """Run `ecoserve` and exit with its status."""
    sys.exit(run())


def _fail(sentence: str) -> int:
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    return _BAD_INPUT
