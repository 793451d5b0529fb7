"""The planner's process: takes calls on stdin, answers on stdout, and ends when its parent does, be it killed.

Solving in a process of its own keeps the operator's loop free, bounds its memory, and gives a hanging solver
a way to end. The process stays warm between plans: imports and the performance model's cache take longer than
a plan. Started as `python -m ecoserve_operator.planning.child`, with `--yields` for what nobody waits for; messages are
length-prefixed pickles.
"""

import gc
import os
import pickle
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct(">Q")
YIELDS = "--yields"
"""The argument of a child that leaves the processor to others."""
_NICENESS = 10
"""What a plan or a request waits for gets nine times the processor's time that such a child gets, where both want it."""
_AUTOGROUP = Path("/proc/self/autogroup")
"""Outside of containers Linux shares processors out by sessions, and niceness counts within one; this one's own is here."""
_TRIES = 5

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
_ALLOCATIONS_PER_COLLECTION = 50_000
"""A plan makes a million objects that stay until it is done: to look for garbage among them takes a twelfth of its time
where that is done after every 700, as it is by default."""


def encode(message: Any) -> bytes:
    """A message with its length before it."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def main() -> None:
    """Answer calls until stdin ends, or nobody is left to read an answer, which one line tells then."""
    if YIELDS in sys.argv:
        _leave_the_processor_to_others()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, 20, 50)
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a solver prints goes to stderr, not between the answers
    try:
        while (call := _read(sys.stdin.buffer)) is not None:
            _write(answers, memoryview(encode(_called(*call))))
    except BrokenPipeError:
        sys.stderr.write("the planner's process ends: the operator that asked it is gone\n")


def _leave_the_processor_to_others() -> None:
    os.nice(_NICENESS)
    for _ in range(_TRIES):
        try:
            _AUTOGROUP.write_text(str(_NICENESS))
        except (
            BlockingIOError
        ):  # the kernel takes one such change in a tenth of a second from all who are not root
            time.sleep(0.1)
        except OSError:
            return  # a kernel without it goes by niceness alone
        else:
            return


def _read(stream: BinaryIO) -> _Call | None:
    """The next call; None where the parent has ended, which may be in the middle of one."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    body = stream.read(length)
    if len(body) < length:
        return None
    call: _Call = pickle.loads(body)  # noqa: S301 - from our parent
    return call


def _write(descriptor: int, message: memoryview) -> None:
    """Write all of a message, past Python's buffers: what they can't get rid of they try to write again at exit."""
    while message:
        message = message[os.write(descriptor, message) :]


def _called(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[bool, Any]:
    try:
        return True, function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - any failure of a plan is told to the parent, which goes on
        return False, f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
