"""Pictures by matplotlib (the extra `plot`): checked before anything is planned, written whole or not at all."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ecoserve.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".svg", ".png", ".pdf")


def check_plot(path: Path) -> None:
    """Raise InvalidInputError where no picture can be drawn to this file, before anything is planned."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInputError("--plot", str(path), f"a file that ends in {', '.join(_SUFFIXES)}")
    if not path.parent.is_dir():
        raise InvalidInputError(
            "--plot", str(path), f"a file in a folder that exists; {path.parent} does not"
        )
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError:
        raise InvalidInputError(
            "--plot", str(path), "matplotlib draws it: install ecoserve-kubernetes[plot]"
        ) from None


def save_figure(figure: "Figure", path: Path) -> None:
    """Write the picture; raises InvalidInputError where that can't be."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InvalidInputError(
            "--plot", str(path), f"a file that can be written ({error.strerror})"
        ) from None
