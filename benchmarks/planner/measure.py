"""Run one thing in a process of its own; tell CPU seconds, its children's among them, and peak memory."""

import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out, CPU seconds for it (instance generation aside), and MB at the peak."""

    answer: Any
    cpu_seconds: float
    peak_mb: float


def measured(make: Callable[[], Any], work: Callable[[Any], Any]) -> Measured:
    """Make an instance and measure the work on it, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, make, work).result()


def _measure(make: Callable[[], Any], work: Callable[[Any], Any]) -> Measured:
    import ecoserve.planner.solver  # noqa: F401 - importing is no part of solving

    subject = make()
    before = _cpu_seconds()
    answer = work(subject)
    spent = _cpu_seconds() - before
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Measured(answer, spent, max(peaks) / 1024)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
