"""Sizes as people write them: a number and a unit, such as ``8GiB``.

Pure. KB, MB, GB and TB are powers of 1,000; KiB, MiB, GiB and TiB powers of 1,024.
"""

import re
from collections.abc import Mapping

_SIZE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,3}))? ?([A-Za-z]*)")
_UNITS: Mapping[str, int] = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
ALLOWED = 'as "8GiB" or "500MB"; "0" for none'


def size_bytes(text: str) -> int | None:
    """The bytes that a text means, or None if it means none; ``0`` needs no unit."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    whole, part, unit = found[1], found[2] or "", found[3].lower()
    if not unit:
        return 0 if not int(whole + part) else None
    if unit not in _UNITS:
        return None
    return int(whole + part) * _UNITS[unit] // int("1" + "0" * len(part))
