"""Sizes as people write them: a number and a unit, such as ``8GiB``.

Pure. KB, MB, GB and TB are powers of 1,000; KiB, MiB, GiB and TiB powers of 1,024: both are in
use, and they are not the same. Letters count: ``Mb`` would be megabits.
"""

import re
from decimal import Decimal

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) *(?:([KMGT])(i)?)?(B)?", re.ASCII)
_POWERS = {None: 0, "K": 1, "M": 2, "G": 3, "T": 4}
ALLOWED = 'as "8GiB" or "500MB"; "0" for none'


def size_bytes(text: str) -> int | None:
    """The bytes that a text means, or None if it means none; ``0`` needs no unit."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    number, letter, binary, unit = found.groups()
    if unit is None:
        return 0 if letter is None and not Decimal(number) else None
    return int(Decimal(number) * (1024 if binary else 1000) ** _POWERS[letter])
