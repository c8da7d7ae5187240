"""Bandwidth as people write it: `100MB`, `12.5 MiB/s`, `0` (V7).

Pure. The unit of time is always the second; KB, MB, GB are powers of 1,000 and KiB, MiB, GiB of
1,024, because both are in use and they are not the same.
"""

import re
from decimal import Decimal

LEAST, MOST = 1_000, 100 * 10**9
ALLOWED = (
    'a number and a unit, per second, from 1KB to 100GB, as "100MB" or "12.5MiB/s" (KB, MB, GB are '
    "powers of 1,000, KiB, MiB, GiB of 1,024); 0 or an empty text for no limit"
)
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([KMG]i?B)\s*(?:/s)?", re.ASCII)
_NONE = re.compile(r"\s*|0+(\s*[KMG]?i?B)?(\s*/s)?", re.ASCII)
_POWERS = {"K": 1, "M": 2, "G": 3}


class BadRate(ValueError):
    """The text is no bandwidth; says how it is wrong, without the text."""


def rate(text: str | None) -> int | None:
    """Bytes per second, None for no limit; raises `BadRate`."""
    if text is None or _NONE.fullmatch(text):
        return None
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise BadRate("is not a bandwidth")
    number, unit = found.groups()
    base = 1024 if unit.endswith("iB") else 1000
    bytes_per_second = int(Decimal(number) * base ** _POWERS[unit[0]])
    if not LEAST <= bytes_per_second <= MOST:
        raise BadRate(f"is {bytes_per_second:,} bytes per second, which is out of range")
    return bytes_per_second
