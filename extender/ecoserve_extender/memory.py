"""How the process keeps its memory: what Python and the C library do by themselves costs more than an answer.

The garbage collector would walk over every record of the caches again and again; and the C library hands freed memory back to the
kernel, to fetch it anew, zeroed and page by page, for the next answer.
"""

import ctypes
import gc
from contextlib import suppress

_ALLOCATIONS_PER_COLLECTION = 100_000
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""mallopt's numbers (malloc.h of glibc)."""
_KEPT_BYTES = 32 * 2**20
_MAPPED_BYTES = 8 * 2**20
"""From this size on, memory is taken from the kernel and handed back at once: no answer needs so much in one piece."""


def prepare() -> None:
    """Collect garbage seldom, and keep some freed memory for the next answer."""
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, 50, 50)
    with suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES)


def spare_the_caches() -> None:
    """Keep the garbage collector from walking over what is there now, which lives long.

    What comes after is looked through seldom: there are next to no cycles in it.
    """
    gc.collect()
    gc.freeze()
