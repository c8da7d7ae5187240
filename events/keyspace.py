"""Facts of what a backup's keys take: figures only, never a key's name, nor a part of one.

The log is for ever and is copied into vaults, and names of keys are data: they are elsewhere.
"""

from typing import Literal, get_args

from msgspec import field

from events.fact import Fact

TtlSpan = Literal["none", "1h", "1d", "7d", "30d", "more"]
"""How long keys still had when they were loaded: none at all, less than that, or 30 days and
more."""
TTL_SPANS: tuple[TtlSpan, ...] = get_args(TtlSpan)


class KeyAmount(Fact, frozen=True):
    """Some keys: how many, what they take in memory, and how many elements they hold.

    A string has no elements. ``bytes`` are what a private engine says of its own memory.
    ``keys`` of them hold ``elements`` in all.
    """

    keys: int = 0
    bytes: int = 0
    elements: int = 0


class KeyspaceFacts(Fact, frozen=True):
    """What a private engine that had loaded a backup says of its ``keys``.

    All of them were ``weighed``, and the largest found, when it is ``whole``; else time was over.
    Not all were also ``seen`` when there was not time enough for it: then each key that was, but
    for the largest, stands for several. ``encodings`` are named as ``hash listpack``. Keys that
    end while they are counted are in ``keys`` only.
    It took ``seconds``.
    """

    keys: int
    weighed: int
    seen: int
    seconds: float
    total: KeyAmount = KeyAmount()
    types: dict[str, KeyAmount] = field(default_factory=dict)
    encodings: dict[str, KeyAmount] = field(default_factory=dict)
    databases: dict[int, KeyAmount] = field(default_factory=dict)
    ttls: dict[TtlSpan, KeyAmount] = field(default_factory=dict)
    whole: bool = True

    @property
    def exact(self) -> bool:
        """Whether nothing is an estimate."""
        return self.whole and self.seen == self.weighed
