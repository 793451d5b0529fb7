"""Credentials of the API server. Tokens rotate: what a pod's ServiceAccount has ends within the hour.

So they are read again every minute, from the same place, a kubeconfig's, too. By a monotonic clock: the client library would wait until the wall
clock, once set back, has caught up.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from ecoserve.errors import InvalidInputError

logger = logging.getLogger(__name__)

_READ_AGAIN_SECONDS = 60.0


async def load_credentials(kubeconfig: Path | None, clock: Callable[[], float] = monotonic) -> Configuration:
    """Return the client's configuration, which keeps its token fresh; None means the pod's own ServiceAccount.

    Raises InvalidInputError where there are no such credentials.
    """
    configuration = Configuration()
    # Looking for proxies and a .netrc in the environment takes two threads for each call, and the API server is asked directly.
    configuration.client_session_kwargs = {"trust_env": False}
    await _read(kubeconfig, configuration)
    due = clock() + _READ_AGAIN_SECONDS

    async def refresh(_: Configuration) -> None:
        """Read the token again where it is time; what can't be read leaves the one before in use."""
        nonlocal due
        if clock() < due:
            return
        due = clock() + _READ_AGAIN_SECONDS
        try:
            await _read(kubeconfig, configuration)
        except InvalidInputError as error:
            logger.warning("credentials can't be read again", extra={"error": str(error)})

    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]  # declared as None
    return configuration


async def _read(kubeconfig: Path | None, configuration: Configuration) -> None:
    try:
        if kubeconfig is not None:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                str(kubeconfig), client_configuration=configuration, persist_config=False
            )
        else:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration, try_refresh_token=False
            )
    except (config.ConfigException, OSError, ValueError) as error:
        raise InvalidInputError(
            "kubeconfig",
            str(kubeconfig or "in-cluster"),
            f"a readable kubeconfig, or a pod's ServiceAccount ({error})",
        ) from None
