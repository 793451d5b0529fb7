"""Names of nodes by the thousand: looked up as kube-scheduler writes them, and written back, without an object for each.

A question names every candidate. Beside a busy scheduler little of our memory is in the processor's caches when it comes, and
following 5,000 references to strings that lie scattered then takes longer than all arithmetic on them. Here
names lie side by side: they are cut out of the question's text, hashed, compared and copied into the answer by operations on arrays.

That is for names as Kubernetes allows them, short enough and known; `NodeNames.find` gives up on any other question, which is then
read name by name.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]

_LONGEST = 64
"""Bytes of a name that is looked up in arrays: that of a cloud's node has 20 to 45, and each takes the room of the longest."""
_WORD = 8
_PLAIN = re.compile(f"[-.0-9A-Za-z]{{1,{_LONGEST}}}")
_QUOTE = ord('"')
_SLOTS_PER_NAME = 4
_FACTORS = np.random.default_rng(0).integers(2**62, 2**63, _LONGEST // _WORD).astype(np.uint64) * 2 + 1
"""One odd factor per word of a name: the upper bits of the sum of products are the hash."""


@dataclass(frozen=True, slots=True, eq=False)
class RowNames:
    """The name of each row at one time, "" where none was, and its hash: one name is found without following a reference to each."""

    texts: NDArray[np.object_]
    hashes: NDArray[np.int64]

    @classmethod
    def of(cls, names: NDArray[np.object_]) -> "RowNames":
        """Keep the names as they are now."""
        return cls(names.copy(), np.fromiter(map(hash, names), np.int64, len(names)))

    def rows(self, name: str) -> list[int]:
        """Return the rows of a name: one, or none."""
        return [row for row in np.flatnonzero(self.hashes == hash(name)).tolist() if self.texts[row] == name]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Nodes in the order they were asked about."""

    rows: Rows
    """The row of each in the node table; 0 for those that are not known."""
    names_by_row: RowNames
    """As they were when asked: a row may go to another node later."""
    strangers: dict[int, str] = field(default_factory=dict)
    """Names of those that are not known, by place."""

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, place: int) -> str:
        """Return the name of the node at a place."""
        return self.strangers.get(place) or str(self.names_by_row.texts[self.rows[place]])

    def names(self) -> list[str]:
        """Return all names."""
        names: list[str] = self.names_by_row.texts[self.rows].tolist()
        for place, name in self.strangers.items():
            names[place] = name
        return names

    def place(self, name: str) -> int | None:
        """Return where a node stands; None where it was not asked about."""
        for row in self.names_by_row.rows(name):
            for place in np.flatnonzero(self.rows == row):
                return int(place)
        return next((place for place, stranger in self.strangers.items() if stranger == name), None)

    def part(self, chosen: NDArray[np.bool_]) -> "Asked":
        """Return the chosen ones."""
        if chosen.all():
            return self
        strangers: dict[int, str] = {}
        if self.strangers:
            new_places = np.cumsum(chosen) - 1
            strangers = {int(new_places[at]): name for at, name in self.strangers.items() if chosen[at]}
        return Asked(self.rows[chosen], self.names_by_row, strangers)


class NodeNames:
    """The names of all rows of the node table; made anew when one changes. `names` has one for each row, "" where none is."""

    def __init__(self, names: NDArray[np.object_]) -> None:
        self.by_row = RowNames.of(names)
        plain = [name if _PLAIN.fullmatch(name) else "" for name in names]
        longest = max(map(len, plain))
        self._words_each = max(1, -(-longest // _WORD))
        self._width = self._words_each * _WORD
        self._words = _words(np.array(plain, f"S{self._width}"))
        quoted = [f'"{name}"'.ljust(longest + 2) for name in plain]
        self._quoted = np.array(quoted, f"S{longest + 2}").view(np.uint8).reshape(len(plain), -1)
        kept = [b"\xff" * length for length in range(self._width + 1)]
        self._words_kept = _words(np.array(kept, f"S{self._width}"))
        self._slots = self._filled()

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The place of each row in the alphabetic order of names."""
        return np.argsort(np.argsort(self.by_row.texts, kind="stable"))

    def find(self, text: bytes) -> Rows | None:
        """Return the rows of the names in a JSON array; None where it has blanks or escapes, or names that are not known.

        The text is taken to be valid JSON.
        """
        found = self._cut(text)
        if found is None:
            return None
        slots = self._slot_of(found)
        rows = self._slots.take(slots)
        others = np.flatnonzero(_differ(self._words.take(rows, axis=0), found))
        while len(others):  # another name's slot: the next one, until the name is found or a slot is free
            slots[others] = here = (slots[others] + 1) % len(self._slots)
            rows[others] = candidates = self._slots[here]
            others = others[_differ(self._words[candidates], found[others])]
            if not rows[others].all():
                return None
        return rows.astype(np.intp)

    def quoted(self, rows: Rows, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bytes:
        """Return the quoted name of each row with text around it: the same for all, or a line of its own for each.

        Shorter names have spaces behind them, which JSON allows.
        """
        start = before.shape[-1]
        end = start + self._quoted.shape[1]
        lines = np.empty((len(rows), end + after.shape[-1]), np.uint8)
        lines[:, :start] = before
        lines[:, start:end] = self._quoted.take(rows, axis=0)
        lines[:, end:] = after
        return lines.tobytes()

    def _cut(self, text: bytes) -> NDArray[np.uint64] | None:
        """Return the words of each name, filled up with zeros; None where this is no array of names with nothing in between."""
        if not text.startswith(b'["'):
            return None
        quotes = np.flatnonzero(np.frombuffer(text, np.uint8) == _QUOTE)
        if len(quotes) % 2:
            return None
        starts = quotes[::2] + 1
        lengths = quotes[1::2] - quotes[::2] - 1
        # Brackets, a comma between each two, and nothing else.
        dense = lengths.sum() + len('","') * len(starts) + 1 == len(text)
        if not (dense and lengths.min() > 0 and lengths.max() <= self._width):
            return None
        filled = text + bytes(self._width)
        names = np.ndarray(len(text), f"V{self._width}", filled, strides=(1,))[starts]
        words: NDArray[np.uint64] = names.view(np.uint64).reshape(len(starts), -1)
        words &= self._words_kept.take(lengths, axis=0)
        return words

    def _slot_of(self, words: NDArray[np.uint64]) -> NDArray[np.intp]:
        hashes = words[:, 0] * _FACTORS[0]
        for column in range(1, self._words_each):
            hashes += words[:, column] * _FACTORS[column]
        slots: NDArray[np.intp] = (hashes >> self._shift).astype(np.intp)
        return slots

    def _filled(self) -> NDArray[np.int32]:
        """Return the hash table: the row in each slot, 0 in a free one; each in the first free slot from its own on."""
        bits = (_SLOTS_PER_NAME * len(self._words) - 1).bit_length()
        self._shift = np.uint64(64 - bits)
        slots = np.zeros(2**bits, np.int32)
        waiting = np.flatnonzero(self._words[:, 0])
        at = self._slot_of(self._words[waiting])
        while len(waiting):
            free = slots[at] == 0
            slots[at[free]] = waiting[free]
            late = slots[at] != waiting
            waiting, at = waiting[late], (at[late] + 1) % len(slots)
        return slots


def _words(texts: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    return texts.view(np.uint64).reshape(len(texts), -1)


def _differ(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which rows differ; column by column, as there are few of them."""
    differ: NDArray[np.bool_] = some[:, 0] != others[:, 0]
    for column in range(1, some.shape[1]):
        differ |= some[:, column] != others[:, column]
    return differ
