"""Bandwidth as people write it: `100MB`, `12.5 MiB/s`, `0` (V7).

Pure. A size a second; the unit of time is always the second.
"""

import re

from daemon.size import size_bytes

LEAST, MOST = 1_000, 100 * 10**9
ALLOWED = (
    'a number and a unit, per second, from 1KB to 100GB, as "100MB" or "12.5MiB/s" (KB, MB, GB are '
    "powers of 1,000, KiB, MiB, GiB of 1,024); 0 or an empty text for no limit"
)
_PER_SECOND = re.compile(r" */s$", re.ASCII)


class BadRate(ValueError):
    """The text is no bandwidth; says how it is wrong, without the text."""


def rate(text: str | None) -> int | None:
    """Bytes per second, None for no limit; raises `BadRate`."""
    if text is None or not text.strip():
        return None
    bytes_per_second = size_bytes(_PER_SECOND.sub("", text.strip()))
    if bytes_per_second is None:
        raise BadRate("is not a bandwidth")
    if bytes_per_second and not LEAST <= bytes_per_second <= MOST:
        raise BadRate(f"is {bytes_per_second:,} bytes per second, which is out of range")
    return bytes_per_second or None
