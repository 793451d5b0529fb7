"""One acting instance, by Lease.

A standby watches like the leader, so that it takes over with a warm world, but plans and writes nothing. Losing
the Lease ends the process: starting anew is the one sure way not to act on what was decided before.

The rules are client-go's: a Lease whose record has not changed for its duration, by the observer's own clock, may
be taken; each write carries the version that was read, so of two takers one fails; the holder stops trying to
renew before its Lease runs out. (The asynchronous election of the Kubernetes client, 37.0.2, can't create a
Lease: it passes `pretty` a boolean that the generated API refuses.)
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ecoserve_operator.fence import LeaseLostError
from ecoserve_operator.kube import LEASE, ApiRefusedError, ApiUnreachableError, KubeApi
from ecoserve_operator.settings import Settings

logger = logging.getLogger(__name__)

LEASE_NAME = "ecoserve-operator"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A Lease's spec as last observed to change, and when, by the monotonic clock."""

    spec: dict[str, Any]
    at: float


class Leadership:
    """One candidate for the Lease; `leading` is set while it holds it."""

    def __init__(self, api: KubeApi, settings: Settings, identity: str) -> None:
        self.leading = asyncio.Event()
        self._api = api
        self._fence = api.fence
        self._settings = settings
        self._identity = identity
        self._where = f"{settings.namespace}/{LEASE_NAME}"
        self._seen = _Seen({}, time.monotonic())
        self._transitions = 0

    async def run(self) -> None:
        """Stand by, then hold the Lease for as long as can be; raises LeaseLostError then."""
        logger.info("%s stands by for Lease %s", self._identity, self._where)
        asked = time.monotonic()
        while not await self._tried():
            await asyncio.sleep(self._settings.lease_retry_seconds)
            asked = time.monotonic()
        logger.info("%s holds Lease %s and acts", self._identity, self._where)
        until = self._may_write_from(asked)
        self.leading.set()
        while time.monotonic() < until:
            await asyncio.sleep(self._settings.lease_retry_seconds)
            asked = time.monotonic()
            if await self._tried():
                until = self._may_write_from(asked)
        self.leading.clear()
        self._fence.close()
        raise LeaseLostError(f"Lease {self._where} could not be renewed; another instance may act now")

    async def give_up(self) -> None:
        """Hand the Lease over at once instead of letting it run out; whatever fails, it runs out anyway."""
        if not self.leading.is_set():
            return
        self.leading.clear()
        self._fence.close()
        try:
            lease = await self._api.get(LEASE, LEASE_NAME, self._settings.namespace)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                await self._write(lease, {"holderIdentity": None})
                logger.info("%s gave up Lease %s", self._identity, self._where)
        except (ApiRefusedError, ApiUnreachableError) as error:
            logger.warning("Lease %s runs out by itself: %s", self._where, error)

    def _may_write_from(self, asked: float) -> float:
        """Open the fence from when the Lease was asked for, and return until when."""
        until = asked + self._settings.lease_renew_seconds
        self._fence.open(until, self._transitions)
        return until

    async def _tried(self) -> bool:
        """Take or renew the Lease; whatever keeps it from us is a failed attempt, never an exception."""
        try:
            async with asyncio.timeout(self._settings.lease_renew_seconds / 2):
                return await self._attempt()
        except ApiRefusedError as error:
            if error.status != 409:  # a lost race is the normal case of two candidates
                logger.warning("Lease %s: %s", self._where, error)
        except (ApiUnreachableError, TimeoutError) as error:
            logger.warning("Lease %s: %s", self._where, error or "no answer in time")
        return False

    async def _attempt(self) -> bool:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._settings.lease_seconds,
            "renewTime": now,
        }
        lease = await self._api.get(LEASE, LEASE_NAME, self._settings.namespace)
        if lease is None:
            metadata = {"name": LEASE_NAME, "namespace": self._settings.namespace}
            await self._api.create(LEASE, {"metadata": metadata, "spec": {**mine, "acquireTime": now}})
            self._transitions = 0
            return True
        spec = lease.get("spec") or {}
        transitions = spec.get("leaseTransitions", 0)
        if spec.get("holderIdentity") != self._identity:
            if not self._is_free(spec):
                return False
            transitions += 1
            mine |= {"acquireTime": now, "leaseTransitions": transitions}
        await self._write(lease, mine)
        self._transitions = transitions
        return True

    def _is_free(self, spec: dict[str, Any]) -> bool:
        """Whether nobody holds the Lease, or its holder has been silent for its whole duration."""
        now = time.monotonic()
        if spec != self._seen.spec:
            self._seen = _Seen(spec, now)
        return not spec.get("holderIdentity") or now - self._seen.at > spec.get("leaseDurationSeconds", 0)

    async def _write(self, lease: dict[str, Any], spec: dict[str, Any]) -> None:
        patch = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": spec}
        await self._api.merge(LEASE, LEASE_NAME, self._settings.namespace, patch)
