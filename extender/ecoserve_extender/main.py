"""`ecoserve-extender`: the command line. Every flag can be set by an environment variable too."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from ecoserve.cli.version import VersionOption
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve_extender import logs
from ecoserve_extender.server import serve
from ecoserve_extender.settings import Settings, Thresholds, Tls, UseFrom

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
    port: Annotated[
        int, typer.Option(envvar=_ENV + "PORT", help="Port of all paths on 127.0.0.1.")
    ] = _DEFAULT.port,
    observe_port: Annotated[
        int | None,
        typer.Option(
            envvar=_ENV + "OBSERVE_PORT",
            help="Port of probes, metrics and explain on all addresses.  [default: none]",
            show_default=False,
        ),
    ] = None,
    tls_port: Annotated[
        int,
        typer.Option(envvar=_ENV + "TLS_PORT", help="Port of all paths on all addresses, with TLS."),
    ] = 8443,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(envvar=_ENV + "TLS_CERTIFICATE", help="Serve with TLS, too: the certificate, PEM."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar=_ENV + "TLS_KEY", help="The certificate's private key, PEM.")
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(envvar=_ENV + "CLIENT_CA", help="Authorities of the callers' certificates, PEM."),
    ] = None,
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
    use: Annotated[
        UseFrom, typer.Option(envvar=_ENV + "USE", help="Where measured use of nodes comes from.")
    ] = _DEFAULT.use,
    prometheus_url: Annotated[
        str | None,
        typer.Option(envvar=_ENV + "PROMETHEUS_URL", help="A Prometheus that scrapes the kubelets."),
    ] = None,
    thinning_seconds: Annotated[
        float,
        typer.Option(
            envvar=_ENV + "THINNING_SECONDS",
            help="Seconds between looks for nodes whose online load has grown; 0: never evict.",
        ),
    ] = _DEFAULT.thinning_seconds,
    reservation_seconds: Annotated[
        float,
        typer.Option(
            envvar=_ENV + "RESERVATION_SECONDS",
            help="How long an answered pod counts as about to land while its bind has not been seen.",
        ),
    ] = _DEFAULT.reservation_seconds,
    decisions_per_second: Annotated[
        float,
        typer.Option(
            envvar=_ENV + "DECISIONS_PER_SECOND", help="Decisions written onto bound pods per second at most."
        ),
    ] = _DEFAULT.decisions_per_second,
    unasked_seconds: Annotated[
        float,
        typer.Option(
            envvar=_ENV + "UNASKED_SECONDS",
            help="How long other replicas have to write of a bound pod that this one was not asked about.",
        ),
    ] = _DEFAULT.unasked_seconds,
    log_level: Annotated[
        LogLevel, typer.Option(envvar=_ENV + "LOG_LEVEL", help="How much to log.")
    ] = LogLevel.INFO,
    _version: VersionOption = False,
) -> None:
    """Answer kube-scheduler's filter and prioritize calls by marginal carbon."""
    try:
        settings = Settings(
            port=port,
            observe_port=observe_port,
            tls=_tls(tls_port, tls_certificate, tls_key, client_ca),
            kubeconfig=kubeconfig,
            thresholds=Thresholds(busy_share=busy_share, headroom_share=headroom_share),
            use=use,
            prometheus_url=prometheus_url,
            thinning_seconds=thinning_seconds,
            reservation_seconds=reservation_seconds,
            decisions_per_second=decisions_per_second,
            unasked_seconds=unasked_seconds,
        )
        logs.configure(log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except EcoserveError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _tls(port: int, certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """Return what the TLS listener needs; raises InvalidInputError where only a part of it is given."""
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None or client_ca is None:
        given = ", ".join(
            name
            for name, value in (("tls-certificate", certificate), ("tls-key", key), ("client-ca", client_ca))
            if value
        )
        raise InvalidInputError(
            "tls", given, "--tls-certificate, --tls-key and --client-ca belong together: give all three"
        )
    return Tls(port=port, certificate=certificate, key=key, client_ca=client_ca)


def main() -> None:
    """Entry point of the `ecoserve-extender` script."""
    app()


if __name__ == "__main__":
    main()
