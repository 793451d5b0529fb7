"""`ecoserve-extender`: the command line. Every flag can be set by an environment variable too."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecoserve.errors import EcoserveError
from ecoserve_extender import logs
from ecoserve_extender.server import serve
from ecoserve_extender.settings import Settings, Thresholds

_ENV = "ECOSERVE_EXTENDER_"
_DEFAULT = Settings()

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class LogLevel(StrEnum):
    """How much to log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command()
def run(
    host: Annotated[str, typer.Option(envvar=_ENV + "HOST", help="Address to listen on.")] = _DEFAULT.host,
    port: Annotated[int, typer.Option(envvar=_ENV + "PORT", help="Port to listen on.")] = _DEFAULT.port,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar=[_ENV + "KUBECONFIG", "KUBECONFIG"],
            help="Credentials of the API server; the pod's own ServiceAccount where left out.",
        ),
    ] = None,
    busy_share: Annotated[
        float,
        typer.Option(
            envvar=_ENV + "BUSY_SHARE",
            help="Share of a node's CPU or memory requested by online pods above which it is busy.",
        ),
    ] = _DEFAULT.thresholds.busy_share,
    headroom_share: Annotated[
        float,
        typer.Option(
            envvar=_ENV + "HEADROOM_SHARE",
            help="Share of a node's CPU and memory that offline pods leave free for online load.",
        ),
    ] = _DEFAULT.thresholds.headroom_share,
    reservation_seconds: Annotated[
        float,
        typer.Option(
            envvar=_ENV + "RESERVATION_SECONDS",
            help="How long an answered pod counts as about to land while its bind has not been seen.",
        ),
    ] = _DEFAULT.reservation_seconds,
    log_level: Annotated[
        LogLevel, typer.Option(envvar=_ENV + "LOG_LEVEL", help="How much to log.")
    ] = LogLevel.INFO,
) -> None:
    """Answer kube-scheduler's filter and prioritize calls by marginal carbon."""
    try:
        settings = Settings(
            host=host,
            port=port,
            kubeconfig=kubeconfig,
            thresholds=Thresholds(busy_share=busy_share, headroom_share=headroom_share),
            reservation_seconds=reservation_seconds,
        )
        logs.configure(log_level)
        asyncio.run(serve(settings))
    except EcoserveError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def main() -> None:
    """Entry point of the `ecoserve-extender` script."""
    app()


if __name__ == "__main__":
    main()
