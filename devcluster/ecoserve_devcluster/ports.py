"""Loopback ports that nobody else takes between the choice and the bind.

They come from below every system's range of ephemeral ports, so that no outgoing connection is given one, and are
written into the cluster's state before the registry lock is released, so that no other cluster chooses them. A program
outside all this can still come first; the component then says that its address is in use and the start is repeated
with other ports.
"""

import random
import socket
from collections.abc import Collection

from ecoserve_devcluster import state
from ecoserve_devcluster.errors import DevclusterError

RANGE = range(20_000, 30_000)


def choose(count: int, taken: Collection[int]) -> tuple[int, ...]:
    """Return `count` ports of 127.0.0.1 that can be bound now and are not in `taken`."""
    chosen: list[int] = []
    for port in random.sample(RANGE, len(RANGE)):
        if len(chosen) == count:
            break
        if port not in taken and _can_bind(port):
            chosen.append(port)
    if len(chosen) < count:
        raise DevclusterError(f"no {count} free loopback ports between {RANGE.start} and {RANGE.stop}")
    return tuple(chosen)


def reserve(name: str, count: int) -> tuple[int, ...]:
    """Choose ports for a cluster and note them in its state, as one step among all clusters."""
    with state.registry_lock():
        taken = {port for other in state.running() for port in other.ports}
        chosen = choose(count, taken)
        own = state.require(name)
        state.write(own.with_ports(chosen))
    return chosen


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
