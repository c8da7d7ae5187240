"""The settings of memory that matter: the allocator's, to a daemon of large buffers, and another.

By itself glibc maps every large buffer anew and gives it back at once, so that the kernel clears
its pages again and again: with a mapping for each buffer of 512 KiB or more a backup of 1 GB cost
680,000 page faults and 2.6 s in the kernel, and as it is here 10,000 to 45,000 and 0.8 s. And it
gives each thread an arena, which several threads cut to pieces: after a dozen backups the daemon
held 110 MiB more than when it was new. One arena, which keeps a little, needs 30 MiB of that.
"""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""``mallopt(3)``."""
LARGE_BYTES = 9 << 20
"""Buffers of so many bytes have a mapping each; a block of 8 MiB has none."""
KEPT_BYTES = 16 << 20
"""So many free bytes may stay at the top of the heap."""


def keep_buffers_warm() -> None:
    """One heap for all threads, which keeps what is soon used again; glibc only."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_ARENA_MAX, 1)


@contextmanager
def uncollected() -> Iterator[None]:
    """Rubbish is not looked for meanwhile.

    A state is values without cycles: searching them again and again for some would take a tenth
    of the time of folding them, and find nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
