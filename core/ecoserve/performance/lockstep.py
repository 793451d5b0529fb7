"""Many replicas at once, step by step: continuous batching as a recursion on arrays, one lane per replica and stream.

Requests of one length are served in the order they came, so that a lane is four counters (arrived, admitted, prefilled,
finished), its time and the tokens in its KV memory. An iteration takes each lane over one engine step with chunks of
prompts in it, or over all decode steps up to the next arrival or finish. It is the mechanism of vLLM's V1 scheduler: decode first,
the rest of the token budget for prompts, admission where a prompt's KV fits, and where decoding runs out of it the last
request gives up its own and computes it anew. A preempted prompt shares its steps with no other: the one thing left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoserve.performance.step_table import Floats, StepTable

Times = tuple[Floats, Floats]
"""Of first token and of finish, a row per lane; NaN may stand where a request is not counted."""
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_NEVER = np.iinfo(np.int64).max // 4
_COMPACT_EVERY = 16
_COMPACT_BELOW = 0.8  # of the lanes still running


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lanes:
    """Streams for one table: arrivals in seconds, one row per lane, in order.

    A lane begins with `decoding` requests in decode, at even distances to their ends, and `waiting` ones: they come first in its row, after as
    many that are left out as it has fewer of them than the lane with most. A lane is run until `counted` requests are done or left out.
    """

    table: StepTable
    arrivals: Floats
    counted: int
    decoding: Integers | int = 0
    waiting: Integers | int = 0

    @property
    def residents(self) -> int:
        """Requests of a row that don't arrive."""
        return int(np.max(self.decoding + self.waiting))


def run_lanes(groups: Sequence[Lanes]) -> list[Times]:
    """Run lanes to their end, all tight or none; what each group's requests did, in order."""
    pool = LanePool()
    for place, group in enumerate(groups):
        pool.add(place, group)
    done = dict(pool.advance(least=0))
    return [done[place] for place in range(len(groups))]


class LanePool:
    """Lanes that run together, all tight or none: others take the places of those that have ended.

    An iteration over few lanes takes nearly as long as one over many, and lanes of different engines end after
    different numbers of them: whoever has many lanes adds some whenever some are done.
    """

    def __init__(self) -> None:
        self._run: _Run | None = None
        self._groups: list[tuple[int, Lanes] | None] = []  # as in the run; None where told
        self._new: list[tuple[int, Lanes]] = []

    def __len__(self) -> int:
        """Lanes that have not ended."""
        running = 0 if self._run is None else len(self._run.base)
        return running + sum(len(group.arrivals) for _, group in self._new)

    @property
    def requests(self) -> int:
        """Requests of all groups that are not done."""
        groups = [*self._groups, *self._new]
        return sum(entry[1].arrivals.size for entry in groups if entry is not None)

    def add(self, key: int, group: Lanes) -> None:
        """Let lanes join; `key` tells them from others in what is told."""
        self._new.append((key, group))

    def advance(self, least: int) -> list[tuple[int, Times]]:
        """Run until `least` lanes are left at most; return what all groups did that are done."""
        self._let_join()
        run = self._run
        if run is None:
            return []
        run.run_down(least)
        running = set(np.unique(run.group).tolist())
        done = []
        for place, entry in enumerate(self._groups):
            if entry is not None and place not in running:
                key, group = entry
                done.append((key, run.times(place, group)))
                self._groups[place] = None
        if not running:
            self._run, self._groups = None, []
        return done

    def _let_join(self) -> None:
        if not self._new:
            return
        new = _Run([group for _, group in self._new])
        if self._run is None:
            self._run = new
        else:
            kept = [place for place, entry in enumerate(self._groups) if entry is not None]
            self._run.join(new, np.array(kept, np.int64))
            self._groups = [self._groups[place] for place in kept]
        self._groups += self._new
        self._new = []


class _Run:
    """The state of all lanes, one entry per lane; what is kept per request lies in flat arrays from `base` on."""

    def __init__(self, groups: Sequence[Lanes]) -> None:
        self.tight = groups[0].table.tight
        counts = [len(group.arrivals) for group in groups]
        tables = [group.table for group in groups]

        def per_lane(values: Any, kind: type = np.int64) -> NDArray[Any]:
            return np.repeat(np.array(values, dtype=kind), counts)

        def offsets(parts: Sequence[Floats]) -> Integers:
            return per_lane(np.concatenate([[0], np.cumsum([len(part) for part in parts])[:-1]]))

        never = [np.full((len(group.arrivals), 1), math.inf) for group in groups]
        self.arrival = np.concatenate(
            [np.hstack([group.arrivals, last]).ravel() for group, last in zip(groups, never, strict=True)]
        )
        widths = per_lane([group.arrivals.shape[1] + 1 for group in groups])
        self.group = per_lane(range(len(groups)))
        self.sizes = {
            "base": np.array([group.arrivals.size + len(group.arrivals) for group in groups]),
            "prefill_base": np.array([len(table.prefill_seconds) for table in tables]),
            "decode_base": np.array([len(table.decode_seconds) for table in tables]),
        }
        self.base = np.cumsum(widths) - widths
        self.until = np.full(len(self.arrival), _NEVER)
        self.extra = np.zeros(len(self.arrival), np.int64)  # tokens to compute again after a preemption
        self.first = np.full(len(self.arrival), math.nan)
        self.finish = np.full(len(self.arrival), math.nan)
        self.prefill_table = np.concatenate([table.prefill_seconds for table in tables])
        self.decode_table = np.concatenate([table.decode_seconds for table in tables])
        self.context_table = np.concatenate([table.context_seconds for table in tables])
        self.prefill_base = offsets([table.prefill_seconds for table in tables])
        self.decode_base = offsets([table.decode_seconds for table in tables])
        self.prompt = per_lane([table.input_tokens for table in tables])
        self.prompt_seconds = per_lane([table.prefill_seconds[table.input_tokens] for table in tables], float)
        self.decode_steps = per_lane([table.decode_steps for table in tables])
        self.held = self.prompt + self.decode_steps
        self.budget = per_lane([table.token_budget for table in tables])
        self.kv = per_lane([table.kv_tokens for table in tables], float)
        self.waste = per_lane([table.kv_waste_tokens for table in tables], float)
        self.most = per_lane([table.max_batch for table in tables])
        self.counted = per_lane([group.counted for group in groups])
        self.joins_at_once = per_lane([table.joins_at_once for table in tables], bool)
        self.arrived = per_lane([group.residents for group in groups])
        waiting, decoding = (
            np.concatenate([np.broadcast_to(getattr(group, name), len(group.arrivals)) for group in groups])
            for name in ("waiting", "decoding")
        )
        self.admitted = self.arrived - waiting
        self.prefilled = self.admitted.copy()
        self.finished = self.prefilled - decoding
        self.step = np.zeros_like(self.arrived)
        self.done = np.zeros_like(self.arrived)  # tokens of the first prompt that are computed
        self.time = np.zeros(len(self.arrived))
        self._place_residents()

    def _place_residents(self) -> None:
        decoding, steps = self.prefilled - self.finished, self.decode_steps
        lane = np.repeat(np.arange(len(decoding)), decoding)
        place = np.arange(len(lane)) - np.repeat(np.cumsum(decoding) - decoding, decoding)
        left = -(-(place + 1) * steps[lane] // decoding[lane])
        self.until[(self.base + self.finished)[lane] + place] = left
        self.context = decoding * self.held - np.bincount(lane, left, len(decoding)).astype(np.int64)

    def times(self, place: int, group: Lanes) -> Times:
        """Return what the requests of the group at a place did."""
        lanes, requests = group.arrivals.shape
        end = int(self.sizes["base"][: place + 1].sum())
        mine = slice(end - lanes * (requests + 1), end)
        first, finish = (
            part[mine].reshape(lanes, requests + 1)[:, :-1] for part in (self.first, self.finish)
        )
        return first.copy(), finish.copy()

    def join(self, other: "_Run", kept: Integers) -> None:
        """Take in the lanes of another run; of the groups so far only those at the places `kept` keep what lies flat."""
        for base, names in _FLAT.items():
            sizes = self.sizes[base]
            starts, left = np.cumsum(sizes) - sizes, sizes[kept]
            moved = np.zeros_like(sizes)
            moved[kept] = np.cumsum(left) - left - starts[kept]
            setattr(self, base, getattr(self, base) + moved[self.group])
            setattr(other, base, getattr(other, base) + left.sum())
            for name in names:
                values = getattr(self, name)
                parts = [values[starts[place] : starts[place] + sizes[place]] for place in kept]
                setattr(self, name, np.concatenate([*parts, getattr(other, name)]))
            self.sizes[base] = np.append(left, other.sizes[base])
        places = np.zeros(len(sizes), np.int64)
        places[kept] = np.arange(len(kept))
        self.group, other.group = places[self.group], other.group + len(kept)
        for name in _PER_LANE:
            setattr(self, name, np.append(getattr(self, name), getattr(other, name)))

    def run_down(self, least: int) -> None:
        """Run until at most `least` lanes are left that have something counted to do."""
        iteration = 0
        while len(self.base) > least:
            self._arrive()
            self._admit()
            if self.tight:
                self._make_room()
            if self.joins_at_once.any():
                self._join_at_once()
            self._advance()
            self._finish()
            iteration += 1
            if iteration % _COMPACT_EVERY == 0:
                running = self.finished < self.counted
                if running.mean() < _COMPACT_BELOW:
                    self._keep(running)

    def _keep(self, lanes: Flags) -> None:
        for name, values in vars(self).items():
            if name in _PER_LANE:
                setattr(self, name, values[lanes])

    def _arrive(self) -> None:
        """Count who has come; where nothing is to be done, time leaps to the next arrival."""
        following = self.arrival.take(self.base + self.arrived)
        came = (following <= self.time).nonzero()[0]
        while len(came):
            self._next_arrives(came, following)
            came = came[following[came] <= self.time[came]]
        idle = ((self.arrived == self.finished) & (following < math.inf)).nonzero()[0]
        if len(idle):
            self.time[idle] = following[idle]
            self._next_arrives(idle, following)
        self.following = following

    def _next_arrives(self, lanes: Integers, following: Floats) -> None:
        self.arrived[lanes] += 1
        following[lanes] = self.arrival[self.base[lanes] + self.arrived[lanes]]

    def _admit(self) -> None:
        room = np.minimum(self.arrived, self.finished + self.most)
        if self.tight:
            decoding = self.prefilled - self.finished
            free = (
                self.kv - self.context - self.waste * decoding - self.extra.take(self.base + self.prefilled)
            )
            room = np.minimum(
                room, self.prefilled + np.floor(free / (self.prompt + self.waste)).astype(np.int64)
            )
        self.admitted = np.maximum(self.admitted, room)

    def _make_room(self) -> None:
        """Preempt those admitted last until the rest can decode one more token."""
        while True:
            waiting, decoding = self.admitted - self.prefilled, self.prefilled - self.finished
            again = np.where(waiting > 0, self.extra.take(self.base + self.prefilled), 0)
            asked = self.context + waiting * (self.prompt + self.waste) + again + decoding * (1 + self.waste)
            over = (asked > self.kv) & (waiting + decoding > 1)
            if not over.any():
                return
            self.admitted -= over
            self.done[over & (waiting == 1)] = 0
            lanes = np.flatnonzero(over & (waiting == 0))
            self.prefilled[lanes] -= 1
            places = self.base[lanes] + self.prefilled[lanes]
            left = self.until[places] - self.step[lanes]
            self.context[lanes] -= self.held[lanes] - left
            self.extra[places] = self.decode_steps[lanes] + 1 - left
            self.until[places] = _NEVER

    def _join_at_once(self) -> None:
        """In the role decode those who are admitted begin to decode, unless their KV was given up."""
        while True:
            places = self.base + self.prefilled
            lanes = np.flatnonzero(
                self.joins_at_once & (self.admitted > self.prefilled) & (self.extra.take(places) == 0)
            )
            if not len(lanes):
                return
            self.first[places[lanes]] = self.arrival[places[lanes]]
            self._join(lanes, np.ones_like(lanes))

    def _join(self, lanes: Integers, count: Integers) -> None:
        """The next `count` prompts of each lane are complete: they have their first token, unless they had it, and decode."""
        each, ends = lanes.repeat(count), count.cumsum()
        places = (self.base + self.prefilled)[each] + np.arange(len(each)) - (ends - count).repeat(count)
        new = np.isnan(self.first[places])
        self.first[places[new]] = self.time[each[new]]
        again = self.extra[places]
        self.until[places] = self.step[each] + self.decode_steps[each] - again
        self.extra[places] = 0
        self.context[lanes] += count * self.prompt[lanes] + np.add.reduceat(again, ends - count)
        self.prefilled[lanes] += count

    def _advance(self) -> None:
        """One step with chunks of prompts, or decode steps up to the next event."""
        decoding = self.prefilled - self.finished
        waiting = self.admitted - self.prefilled
        mixed = waiting > 0
        at = self.decode_base + decoding
        slope = self.context_table.take(at)
        seconds = self.decode_table.take(at) + slope * self.context
        steps = self.until.take(self.base + self.finished) - self.step
        until_next = np.ceil((self.following - self.time) / np.maximum(seconds, 1e-12))
        seen = (self.arrived == self.admitted) & (until_next < 1e15)  # an arrival who could be admitted
        steps = np.where(seen, np.minimum(steps, np.where(seen, until_next, 0.0).astype(np.int64)), steps)
        if self.tight:
            free = (self.kv - self.context - decoding * self.waste) / np.maximum(decoding, 1)
            steps = np.minimum(steps, np.maximum(free, 1.0).astype(np.int64))
        steps = np.where(mixed, 1, np.maximum(steps, 1)) * (decoding > 0)
        grown = decoding * steps
        self.time = self.time + steps * (seconds + slope * grown * (0.5 * ~mixed))
        self.context += grown
        self.step += np.maximum(steps, mixed)
        self._prefill(decoding, waiting)

    def _prefill(self, decoding: Integers, waiting: Integers) -> None:
        """Compute what the step's budget holds of the prompts; who is complete has the first token and decodes."""
        before = self.prefill_table.take(self.prefill_base + self.done)
        budget = np.maximum(self.budget - decoding, 1)
        total = self.done + np.minimum(budget, waiting * self.prompt - self.done)
        complete = total // self.prompt
        rest = total - complete * self.prompt
        if self.tight:
            again = self.extra.take(self.base + self.prefilled)
            anew = (again > 0) & (waiting > 0)
            length = self.prompt + again
            alone = np.minimum(self.done + budget, length)
            complete = np.where(anew, alone >= length, complete)
            rest = np.where(anew, np.where(complete > 0, 0, alone), rest)
        else:
            anew = None
        spent = complete * self.prompt_seconds + self.prefill_table.take(self.prefill_base + rest) - before
        if anew is not None and anew.any():
            spent = np.where(
                anew, self.prefill_table.take(self.prefill_base + np.where(anew, alone, 0)) - before, spent
            )
        self.time += spent
        self.done = rest
        joining = complete.nonzero()[0]
        if len(joining):
            self._join(joining, complete[joining])

    def _finish(self) -> None:
        lanes = (self.until.take(self.base + self.finished) <= self.step).nonzero()[0]
        while len(lanes):
            places = self.base[lanes] + self.finished[lanes]
            self.finish[places] = self.time[lanes]
            self.context[lanes] -= self.held[lanes]
            self.finished[lanes] += 1
            lanes = lanes[self.until[places + 1] <= self.step[lanes]]


_FLAT = {
    "base": ("arrival", "until", "extra", "first", "finish"),
    "prefill_base": ("prefill_table",),
    "decode_base": ("decode_table", "context_table"),
}
"""What lies flat, by the places of lanes in it."""
_PER_LANE = frozenset(
    (
        *(
            "group",
            "joins_at_once",
            "base",
            "prefill_base",
            "decode_base",
            "prompt",
            "prompt_seconds",
            "decode_steps",
            "held",
            "budget",
        ),
        *("kv", "waste", "most", "counted", "arrived", "admitted", "prefilled", "finished", "step", "done"),
        *("context", "time"),
    )
)
