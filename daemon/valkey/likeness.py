"""What makes a private engine keep values as their source did: its limits of compact encodings.

With others the same data takes another amount of memory, often several times as much. Pure; knows
which of the settings each engine has, and takes over nothing that could keep one from starting.
"""

import re
from collections.abc import Iterator, Mapping

from daemon.valkey.engine import Engine, version_numbers

LIMITS = (
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
    "list-max-listpack-size",
    "list-compress-depth",
    "set-max-intset-entries",
    "stream-node-max-bytes",
    "stream-node-max-entries",
)
"""Every engine has these since Redis 7.0."""
LIMITS_OF_SETS = ("set-max-listpack-entries", "set-max-listpack-value")
"""And these since 7.2."""
_SANE = re.compile(r"[0-9]{1,9}|-[1-5]")


def options(engine: Engine, settings: Mapping[str, str]) -> tuple[str, ...]:
    """Words for the engine's command line, from the settings of the server that was backed up."""
    return tuple(word for one in _taken(engine, settings) for word in one)


def _taken(engine: Engine, settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    version = version_numbers(engine.version)
    if version < (7, 0):
        return
    for name in (*LIMITS, *(LIMITS_OF_SETS if version >= (7, 2) else ())):
        value = settings.get(name, settings.get(name.replace("listpack", "ziplist"), ""))
        negative = value.startswith("-") and name != "list-max-listpack-size"
        if _SANE.fullmatch(value) and not negative:
            yield f"--{name}", value
