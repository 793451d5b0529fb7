"""What nodes offer and what pods take of them, as columns: one row per node, one array operation per question.

A verdict on thousands of candidates is then a handful of operations on arrays instead of as many calls. Amounts are millicores and
bytes of memory side by side, in 64-bit integers: sums over thousands of additions and subtractions stay exact. Row 0 is that of every
node that is not known; rows of nodes that are gone are used again once nothing counts on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoserve_extender.cache.names import Asked, NodeNames, Rows
from ecoserve_extender.cache.records import NodeRecord, Requests

_AMOUNTS = ("offered", "online", "offline", "reserved", "planned", "measured")
_EMPTY: dict[str, Any] = {
    "known": np.bool_(False),
    "has_accelerators": np.bool_(False),
    **dict.fromkeys(_AMOUNTS, np.zeros(2, np.int64)),
    "holders": np.int64(0),
    "arriving": np.int64(0),
    "standing": np.int32(0),
    "stalled_share": np.float64(0),
    "measured_at": np.float64(-np.inf),
}
"""What stands in each column of a row that is not used."""


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """What pods take of one node. Reserved is what offline pods not yet seen bound may come to take."""

    online: Requests = field(default_factory=Requests)
    offline: Requests = field(default_factory=Requests)
    reserved: Requests = field(default_factory=Requests)
    holders: int = 0
    """Pods for whose sake the node is on: all but those of DaemonSets and static ones."""
    arriving: int = 0
    """Pods most likely about to land here."""


class NodeTable:
    """The columns, by `columns[NAME]`, and the row of each node."""

    def __init__(self) -> None:
        self.columns: dict[str, NDArray[Any]] = {name: np.array([value]) for name, value in _EMPTY.items()}
        self._names = np.array([""], np.object_)
        self._listed: NodeNames | None = None
        self._row_of: dict[str, int] = {}
        self._free: list[int] = []
        self._gone: set[str] = set()

    def __len__(self) -> int:
        """Rows, used or not."""
        return len(self._names)

    @property
    def listed(self) -> NodeNames:
        """The names of all rows, as they are now."""
        if self._listed is None:
            self._listed = NodeNames(self._names)
        return self._listed

    def row(self, name: str) -> int:
        """Return the row of a node, 0 where it is not known."""
        return self._row_of.get(name, 0)

    def known(self, name: str) -> bool:
        """Tell whether there is such a node."""
        return bool(self.columns["known"][self.row(name)])

    def rows(self, names: Sequence[str]) -> Rows:
        """Return the row of each node, 0 for those that are not known."""
        return np.fromiter(map(self._row_of.get, names, repeat(0)), np.intp, len(names))

    def asked(self, names: Sequence[str]) -> Asked:
        """Return these nodes as ones that were asked about, read name by name."""
        rows = self.rows(names)
        strangers = {place: names[place] for place in np.flatnonzero(rows == 0).tolist()}
        return Asked(rows, self.listed.by_row, strangers)

    def offer(self, node: NodeRecord) -> None:
        """Record what a node offers."""
        row = self._row(node.name)
        self._gone.discard(node.name)
        self.columns["known"][row] = True
        self.columns["has_accelerators"][row] = node.has_accelerators
        self.columns["offered"][row] = node.allocatable.amounts

    def withdraw(self, name: str) -> None:
        """Forget what a node offers and what was measured of it; its row goes once nothing counts on it any more."""
        row = self.row(name)
        if row:
            for column in ("known", "measured_at"):
                self.columns[column][row] = _EMPTY[column]
            self._gone.add(name)
            self.drop_if_unused(name)

    def take(self, name: str, amounts: Requests, sign: int, *, offline: bool) -> None:
        """Count (+1) or no longer count (-1) what a bound pod takes of a node, which may not be known yet."""
        row = self._row(name)
        self.columns["offline" if offline else "online"][row] += sign * amounts.amounts

    def reserve(self, rows: Rows, amounts: Requests, sign: int) -> None:
        """Count or no longer count what a pod may come to take of any of these nodes."""
        for reserved, amount in zip(self.columns["reserved"].T, amounts.amounts.tolist(), strict=True):
            if amount:  # an online pod reserves nothing, and is most of what is asked about
                reserved[rows] += sign * amount
        for name in tuple(self._gone):
            self.drop_if_unused(name)

    def hold_on(self, name: str, *, holders: int = 0, arriving: int = 0) -> None:
        """Count pods that keep a node on, or are about to."""
        row = self._row(name)
        self.columns["holders"][row] += holders
        self.columns["arriving"][row] += arriving

    def stand(self, name: str, standing: int) -> None:
        """Record the number of a node's standing; unknown nodes are passed over."""
        row = self._row_of.get(name)
        if row is not None:
            self.columns["standing"][row] = standing

    def on(self, name: str) -> bool:
        """Tell whether a node is needed without the pod asked about."""
        row = self.row(name)
        return bool(self.columns["holders"][row] > 0 or self.columns["arriving"][row] > 0)

    def plan(self, name: str, online: Requests) -> None:
        """Record what the plan puts on a node for online work."""
        row = self._row(name)
        self.columns["planned"][row] = online.amounts

    def measure(self, name: str, highest: Requests, stalled_share: float, at: float) -> None:
        """Record the highest measured use of late, and when the last was measured; unknown nodes are passed over."""
        row = self._row_of.get(name)
        if row is not None:
            self.columns["measured"][row] = highest.amounts
            self.columns["stalled_share"][row] = stalled_share
            self.columns["measured_at"][row] = at

    def requested_online(self, name: str) -> Requests:
        """Return what online pods request of a node; nothing of one that is not known."""
        return Requests(*self.columns["online"][self.row(name)].tolist())

    def usage(self, name: str) -> NodeUsage:
        """Return what pods take of a node; nothing of one that is not known."""
        row = self.row(name)
        offline, reserved = (Requests(*self.columns[of][row].tolist()) for of in ("offline", "reserved"))
        holders, arriving = (int(self.columns[of][row]) for of in ("holders", "arriving"))
        return NodeUsage(self.requested_online(name), offline, reserved, holders, arriving)

    def drop_if_unused(self, name: str) -> None:
        """Free the row of a node that is gone, where nothing counts on it."""
        row = self._row_of.get(name)
        if row is None or self.columns["known"][row] or self.usage(name) != NodeUsage():
            return
        del self._row_of[name]
        self._gone.discard(name)
        for column, value in _EMPTY.items():
            self.columns[column][row] = value
        self._names[row], self._listed = "", None
        self._free.append(row)

    def _row(self, name: str) -> int:
        row = self._row_of.get(name)
        if row is None:
            if not self._free:
                length = len(self)
                for column, value in _EMPTY.items():
                    unused = np.full((length, *value.shape), value)
                    self.columns[column] = np.concatenate([self.columns[column], unused])
                self._names = np.concatenate([self._names, np.full(length, "", np.object_)])
                self._free.extend(range(2 * length - 1, length - 1, -1))
            row = self._row_of[name] = self._free.pop()
            self._names[row], self._listed = name, None
        return row
