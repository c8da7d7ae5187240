"""Limits of compact encodings, from a source's settings to a private engine's command line."""

from typing import Literal

import pytest

from daemon.valkey.engine import Engine
from daemon.valkey.likeness import options

SOURCE = {
    "hash-max-listpack-entries": "5000",
    "zset-max-ziplist-value": "128",
    "list-max-listpack-size": "-2",
    "set-max-listpack-entries": "256",
    "maxmemory": "1gb",
}


def engine(kind: Literal["valkey", "redis"], version: str) -> Engine:
    """An engine of that kind."""
    return Engine(f"/usr/bin/{kind}-server", None, kind, version, "system")


def test_limits_are_taken_over() -> None:
    """Limits of encodings come over, by their names of today, and no other setting does."""
    assert (
        *("--hash-max-listpack-entries", "5000"),
        *("--zset-max-listpack-value", "128"),
        *("--list-max-listpack-size", "-2"),
        *("--set-max-listpack-entries", "256"),
    ) == options(engine("valkey", "8.1.8"), SOURCE)


@pytest.mark.parametrize(("version", "taken"), [("7.0.15", 6), ("7.2.4", 8), ("6.2.14", 0)])
def test_no_engine_gets_what_it_does_not_know(version: str, taken: int) -> None:
    """A setting that an engine lacks would keep it from starting."""
    assert taken == len(options(engine("redis", version), SOURCE))


@pytest.mark.parametrize("value", ["", "-1", "9" * 10, "5000 yes", "--dir", "1e9", "5\n0"])
def test_nothing_odd_is_taken_over(value: str) -> None:
    """What is no sane number is left out: the engine then has its own limit."""
    assert () == options(engine("valkey", "8.1.8"), {"hash-max-listpack-entries": value})
