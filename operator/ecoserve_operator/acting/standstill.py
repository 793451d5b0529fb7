"""Changes that stand still: new replicas that find no room beside ready ones which are needed, and what comes of it.

A plan's inventory is that of its end, so it may be one that no order of steps reaches. That shows only as it is
carried out: pods that no node takes, nothing that loads, nothing that can be taken away, and nobody else about to make room
where it is needed. After a wait, and where those who look for room have said that there is none (`refusals`), the serving's
ready replicas stay for the planner (`Snapshot.stays`): the next
plan adds to them, and so can be reached. They stay for an hour, or until there are other nodes or less load. Where a
change still stands after another wait, as no such plan serves the load, it is stuck: that is told, and what
is missing meanwhile may be what the serving's policy allows.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from ecoserve.fleet.snapshot import Snapshot
from ecoserve_operator.watch.records import DeploymentRecord, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a serving's change stands after a pass.

    `lacking` are the pools in which replicas are awaited, `giving` those in which more run than are to; `state` is
    what runs, which differs as soon as anything moves. `late` tells that it takes longer than a change may.
    """

    moves: bool
    late: bool
    lacking: frozenset[str]
    giving: frozenset[str]
    state: Mapping[Key, DeploymentRecord]
    placed: Mapping[Key, int]

    @property
    def without_room(self) -> bool:
        """Whether replicas are awaited that no node takes, while nothing moves or loads; some are there to be replaced."""
        if self.moves or not self.lacking or not self.giving:
            return False
        if not all(each.settled for each in self.state.values()):
            return False
        pods = [(self.placed.get(key, 0), each) for key, each in self.state.items()]
        loading = any(placed > each.ready for placed, each in pods)
        return not loading and any(placed < each.replicas for placed, each in pods)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stay:
    """Since when a serving's replicas stay, at which load and on which nodes it was found that they have to."""

    since: float
    requests_per_second: float
    nodes: frozenset[str]


class Standstills:
    """Remembers since when each serving's change stands still, and whose replicas stay for it; times are in seconds."""

    def __init__(self, wait_seconds: float, lasting_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._lasting_seconds = lasting_seconds
        self._standing: dict[str, tuple[Mapping[Key, DeploymentRecord], float]] = {}
        self._found: set[str] = set()
        self._stays: dict[str, _Stay] = {}
        self._stuck: set[str] = set()

    def stays(self, snapshot: Snapshot, now: float) -> frozenset[str]:
        """The servings of a snapshot whose replicas are to stay."""
        nodes = frozenset(name for pool in snapshot.pools for name in pool.node_names)
        rates = {demand.name: demand.rate_per_second for demand in snapshot.servings}
        for name in self._found:
            self._stays[name] = _Stay(since=now, requests_per_second=rates.get(name, 0.0), nodes=nodes)
        self._found = set()
        self._stays = {
            name: stay
            for name, stay in self._stays.items()
            if stay.nodes == nodes
            and rates.get(name, -1.0) >= stay.requests_per_second
            and now - stay.since < self._lasting_seconds
        }
        self._stuck &= self._stays.keys()
        return frozenset(self._stays)

    def stuck(self, name: str) -> bool:
        """Whether a serving's change stands though its replicas were planned to stay."""
        return name in self._stuck

    def ripe(self, servings: Mapping[str, Progress], now: float) -> frozenset[str]:
        """Take down how all changes stand; those that have stood for as long as they may, each once in a wait."""
        without = {name for name, each in servings.items() if each.without_room}
        coming = {
            pool
            for name, each in servings.items()
            if name not in without and not each.late
            for pool in each.giving
        }
        standing = {name for name in without if not servings[name].lacking & coming}
        self._standing = {
            name: before
            if before is not None and before[0] == servings[name].state
            else (servings[name].state, now)
            for name in standing
            for before in (self._standing.get(name),)
        }
        self._stuck &= {name for name, each in servings.items() if each.lacking}
        ripe = {name for name, (_, since) in self._standing.items() if now - since >= self._wait_seconds}
        for name in ripe:
            self._standing[name] = (servings[name].state, now)
        return frozenset(ripe)

    def note(self, refused: Set[str]) -> frozenset[str]:
        """Take down for which of the ripe there is no room; those for which something is to be done that was not before."""
        news = frozenset(refused - self._stuck)
        self._stuck |= refused & self._stays.keys()
        self._found |= refused - self._stays.keys()
        return news

    def seconds_until_due(self, now: float) -> float | None:
        """Seconds until the first change has stood for too long; None where none stands."""
        return min((since + self._wait_seconds - now for _, since in self._standing.values()), default=None)
