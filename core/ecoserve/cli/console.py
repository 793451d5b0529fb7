"""What commands print on: the console of tables, and progress on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

_WIDTH = 100


def table_console() -> Console:
    """Return the console that tables go to, at most 100 columns wide."""
    console = Console(highlight=False)
    console.width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    return console


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show on standard error, if it is a terminal, how many of how many are done."""
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show on standard error, if it is a terminal, that something is being done."""
    errors = Console(stderr=True)
    if not errors.is_terminal:
        yield
        return
    with errors.status(text):
        yield
