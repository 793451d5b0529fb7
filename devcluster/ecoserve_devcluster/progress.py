"""Progress with elapsed time, on stderr: a live line on a terminal, a plain line now and then elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_PLAIN_INTERVAL_SECONDS = 15.0


class Report(Protocol):
    """Tells what is being done now."""

    def __call__(self, text: str) -> None:
        """Replace the text that is shown."""


@contextmanager
def elapsed_progress(first_text: str) -> Iterator[Report]:
    """Show a text and the time since the start until the block is left."""
    console = Console(stderr=True)
    with _live(console, first_text) if console.is_terminal else _plain(console, first_text) as report:
        yield report


@contextmanager
def _live(console: Console, first_text: str) -> Iterator[Report]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(first_text, total=None)
        yield lambda text: progress.update(task, description=text)


@contextmanager
def _plain(console: Console, first_text: str) -> Iterator[Report]:
    started = time.monotonic()
    shown = [first_text]
    finished = threading.Event()

    def tell() -> None:
        while not finished.wait(_PLAIN_INTERVAL_SECONDS):
            console.print(f"{shown[0]} ({time.monotonic() - started:.0f} s)", highlight=False, markup=False)

    def report(text: str) -> None:
        shown[0] = text

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield report
    finally:
        finished.set()
        teller.join()
