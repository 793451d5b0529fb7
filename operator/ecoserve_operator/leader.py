"""One acting instance, by Lease.

A standby watches like the leader, so that it takes over with a warm world, but plans and writes nothing. Losing
the Lease ends the process: starting anew is the one sure way not to act on what was decided before.
The client library's election is used. Around it stands what it lacks: an API server that does not answer is a
failed attempt instead of the end of the election, an attempt has a time limit, and the Lease is given up on exit.
"""

import asyncio
import logging
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from ecoserve.errors import EcoserveError
from ecoserve_operator.kube import LEASE, ApiRefusedError, ApiUnreachableError, KubeApi
from ecoserve_operator.settings import Settings

logger = logging.getLogger(__name__)

LEASE_NAME = "ecoserve-operator"
_UNREACHED = (aiohttp.ClientError, TimeoutError, OSError)

# The library logs a traceback for every lost race between two candidates; what matters is logged here.
logging.getLogger("kubernetes.aio.leaderelection").setLevel(logging.CRITICAL)


class LeaseLostError(EcoserveError):
    """Another instance may be acting now, so this one must not."""


class _PatientLock(LeaseLock):
    """A Lease whose failures to be read or written are answers, not exceptions."""

    def __init__(self, identity: str, api: KubeApi, settings: Settings) -> None:
        super().__init__(LEASE_NAME, settings.namespace, identity, api.client)
        self._limit_seconds = settings.renew_deadline_seconds / 2

    async def get(self, name: str, namespace: str) -> Any:
        try:
            async with asyncio.timeout(self._limit_seconds):
                return await super().get(name, namespace)
        except _UNREACHED as error:
            return False, ApiException(status=0, reason=f"no answer ({type(error).__name__})")

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        try:
            async with asyncio.timeout(self._limit_seconds):
                return bool(await super().create(name, namespace, election_record))
        except _UNREACHED:
            return False

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        try:
            async with asyncio.timeout(self._limit_seconds):
                return bool(await super().update(name, namespace, updated_record))
        except _UNREACHED:
            return False


async def lead(api: KubeApi, settings: Settings, identity: str, leading: asyncio.Event) -> None:
    """Stand by, set `leading` once the Lease is held, keep it; raises LeaseLostError when it can't be kept."""

    async def started() -> None:
        logger.info("%s holds Lease %s/%s and acts", identity, settings.namespace, LEASE_NAME)
        leading.set()

    async def stopped() -> None:
        leading.clear()

    logger.info("%s waits for Lease %s/%s", identity, settings.namespace, LEASE_NAME)
    election = LeaderElection(
        Config(
            _PatientLock(identity, api, settings),
            lease_duration=settings.lease_seconds,
            renew_deadline=settings.renew_deadline_seconds,
            retry_period=max(1, settings.lease_seconds // 8),
            onstarted_leading=started,
            onstopped_leading=stopped,
        )
    )
    await election.run()
    raise LeaseLostError(f"Lease {settings.namespace}/{LEASE_NAME} was lost; another instance may act now")


async def give_up(api: KubeApi, settings: Settings, identity: str) -> None:
    """Hand the Lease over at once instead of letting it run out; whatever fails, it runs out anyway."""
    try:
        lease = await api.get(LEASE, LEASE_NAME, settings.namespace)
        if lease is None or lease["spec"].get("holderIdentity") != identity:
            return
        version = lease["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": None}}
        await api.merge(LEASE, LEASE_NAME, settings.namespace, patch)
    except (ApiRefusedError, ApiUnreachableError) as error:
        logger.warning("the Lease runs out by itself: %s", error)
    else:
        logger.info("%s gave up Lease %s/%s", identity, settings.namespace, LEASE_NAME)
