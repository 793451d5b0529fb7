"""The planner's process: takes calls on stdin, answers on stdout, and ends when its parent does.

Solving in a process of its own keeps the operator's loop free, bounds its memory, and gives a hanging solver
a way to end. The process stays warm between plans: imports and the performance model's cache take longer than
a plan. Started as `python -m ecoserve_operator.planning.child`, with `--yields` for what nobody waits for; messages are
length-prefixed pickles.
"""

import os
import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

HEADER = struct.Struct(">Q")
YIELDS = "--yields"
"""The argument of a child that leaves the processor to others."""
_NICENESS = 10
"""What a plan or a request waits for gets nine times the processor's time that such a child gets, where both want it."""


def encode(message: Any) -> bytes:
    """A message with its length before it."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def main() -> None:
    """Answer calls until stdin ends."""
    if YIELDS in sys.argv:
        os.nice(_NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a solver prints goes to stderr, not between the answers
    while (header := sys.stdin.buffer.read(HEADER.size)) and len(header) == HEADER.size:
        function, arguments, keywords = _read(sys.stdin.buffer, HEADER.unpack(header)[0])
        answers.write(encode(_called(function, arguments, keywords)))
        answers.flush()


def _read(stream: BinaryIO, length: int) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] = pickle.loads(stream.read(length))  # noqa: S301 - from our parent
    return call


def _called(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    try:
        return True, function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - any failure of a plan is told to the parent, which goes on
        return False, f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
