"""What a seed's world is like: its caches, its time of the year, and what may go wrong in it.

Each seed switches kinds of trouble on and off (a swarm): where everything goes wrong at once,
much that needs a quiet moment before it never comes up.
"""

from datetime import UTC, datetime, timedelta
from typing import TypeVar

from msgspec import Struct

from daemon.commands import PolicyChange
from tests.simulation.dice import Dice, dice

T = TypeVar("T")
ZONES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/St_Johns",
    "Pacific/Chatham",
    "Africa/Casablanca",
)
TURNS = (
    datetime(2026, 3, 6, tzinfo=UTC),  # New York goes forward on the 8th
    datetime(2026, 3, 26, tzinfo=UTC),  # Paris on the 29th
    datetime(2026, 4, 3, tzinfo=UTC),  # Lord Howe and Chatham back on the 5th
    datetime(2026, 9, 25, tzinfo=UTC),  # Chatham forward on the 27th
    datetime(2026, 10, 2, tzinfo=UTC),  # Lord Howe forward on the 4th
    datetime(2026, 10, 23, tzinfo=UTC),  # Paris back on the 25th
    datetime(2026, 10, 30, tzinfo=UTC),  # New York back on 1 November
    datetime(2026, 2, 14, tzinfo=UTC),  # Casablanca back on the 15th, for the month of fasting
    datetime(2026, 12, 30, tzinfo=UTC),
    datetime(2028, 2, 27, tzinfo=UTC),
)


class Setting(Struct, frozen=True):
    """A world before anything happens in it.

    `chances` are those of each fault at each call that it can befall, `per_day` how often
    things happen, `latency` the mean seconds of a way there or back.
    """

    seed: int
    days: float
    caches: int
    born_at: datetime
    chances: dict[str, float]
    per_day: dict[str, float]
    latency: float = 0.05
    backups_at_once: int = 4
    hosts: int = 20


CHANCES: dict[str, tuple[float, tuple[float, ...]]] = {
    "before": (0.7, (0.001, 0.01, 0.05)),
    "after": (0.6, (0.003, 0.02)),
    "late": (0.4, (0.005, 0.02)),
    "permanent": (0.4, (0.004,)),
    "odd": (0.3, (0.02,)),
    "short": (0.5, (0.01, 0.1)),
    "flipped": (0.4, (0.02,)),
    "torn": (0.5, (0.01, 0.05)),
    "hang": (0.5, (0.003, 0.02)),
    "frozen": (0.3, (0.002, 0.01)),
    "stuck": (0.4, (0.002, 0.01)),
    "slow": (0.5, (0.02, 0.2)),
    "stall": (0.3, (0.002, 0.01)),
    "full": (0.4, (0.002, 0.02)),
    "failed disk": (0.3, (0.003,)),
}
PER_DAY: dict[str, tuple[float, tuple[float, ...]]] = {
    "kill": (0.7, (1.0, 6.0)),
    "stop": (0.4, (1.0, 3.0)),
    "long away": (0.4, (0.3,)),
    "outage": (0.6, (0.5, 4.0)),
    "clock": (0.4, (0.5, 2.0)),
    "pause": (0.4, (0.5, 2.0)),
    "policy": (0.6, (1.0, 8.0)),
    "remove": (0.4, (0.5, 2.0)),
    "file": (0.5, (0.5, 3.0)),
    "manual": (0.6, (2.0, 10.0)),
    "by hand": (0.6, (2.0, 10.0)),
    "delete": (0.5, (2.0, 6.0)),
    "cancel": (0.5, (2.0, 10.0)),
    "ahead": (0.2, (0.3, 1.0)),
}


def swarm(seed: int, *, days: float = 4.0, caches: int = 6) -> Setting:
    """The world of a seed: each kind of trouble is there or not, and then much or little."""
    thrown = dice(seed, "setting")
    return Setting(
        seed=seed,
        days=days,
        caches=caches,
        born_at=thrown.choice(TURNS) + timedelta(seconds=thrown.randrange(86_400)),
        chances=_some(thrown, CHANCES),
        per_day=_some(thrown, PER_DAY),
        latency=thrown.choice((0.02, 0.2, 2.0)),
        backups_at_once=thrown.choice((1, 2, 4, 20)),
        hosts=thrown.choice((1, 3, 20)),
    )


def light(seed: int, *, days: float = 4.0, caches: int = 20) -> Setting:
    """A world in which little goes wrong, now and then: what speed is measured by."""
    return Setting(
        seed=seed,
        days=days,
        caches=caches,
        born_at=TURNS[seed % len(TURNS)],
        chances={"before": 0.001, "after": 0.001, "slow": 0.02},
        per_day={"kill": 0.5, "stop": 0.2, "policy": 0.5, "manual": 2.0, "by hand": 1.0},
    )


def _some(thrown: Dice, table: dict[str, tuple[float, tuple[float, ...]]]) -> dict[str, float]:
    found = {}
    for kind, (is_on, strengths) in table.items():
        here, strength = thrown.random() < is_on, thrown.choice(strengths)
        if here:
            found[kind] = strength
    return found


def a_policy(thrown: Dice, *, auto: bool = True) -> PolicyChange:
    """Settings of a policy as somebody may choose them; windows that do not overlap."""
    return PolicyChange(
        auto=auto,
        retention_days=thrown.choice((1, 1, 2, 3)),
        retries=thrown.choice((0, 1, 2, 3, 10)),
        timezone=thrown.choice(ZONES),
        windows=_windows(thrown),
        keep_last=thrown.choice((0, 1, 1, 2, 3)),
    )


def _windows(thrown: Dice) -> tuple[str, ...]:
    """Up to four windows on the circle, between marks that are at least a quarter apart."""
    number = thrown.choice((1, 1, 2, 2, 3, 4))
    marks = sorted(thrown.sample(range(96), number))
    found = []
    for mark, after in zip(marks, (*marks[1:], marks[0] + 96), strict=True):
        most = (after - mark) * 15
        minutes = thrown.choice((15, 60, 90, 180, most))
        start = thrown.choice((0, 0, thrown.randrange(1 + most - min(most, minutes))))
        at = (mark * 15 + start) % 1440
        found.append(f"{at // 60:02}:{at % 60:02}+{min(most, minutes)}m")
    return tuple(found)
