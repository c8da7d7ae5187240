"""Weather by dice: what goes wrong on the line in a world of a seed, and how slow everything is.

Knows which calls there are and what can befall each. Late effects may land at any later time, or
right before any of the calls to come: some harm is done only between two calls that follow each
other at once.
"""

from collections import Counter
from collections.abc import Callable

from tests.simulation.dice import Dice
from tests.simulation.line import FaultKind
from tests.simulation.setting import Setting

BEFALLS: dict[str, tuple[FaultKind, ...]] = {
    "snapshot": ("before", "permanent", "odd", "hang", "frozen"),
    "piece": ("before", "short", "flipped", "hang", "frozen"),
    "facts": ("before", "hang", "frozen"),
    "create": ("before", "after", "permanent", "hang", "stuck"),
    "write": ("before", "after", "late", "torn", "hang", "frozen", "stuck"),
    "commit": ("before", "after", "late", "hang", "stuck"),
    "abort": ("before", "after", "late", "hang", "stuck"),
    "put_new": ("before", "after", "hang", "stuck"),
    "get": ("before", "hang", "frozen", "stuck"),
    "delete": ("before", "after", "late", "hang", "permanent", "frozen", "stuck"),
    "clear": ("before", "after", "late", "hang", "permanent", "frozen", "stuck"),
}
OF_THE_SECOND = "second: "
"""Calls to the second vault: nothing lands late there, for copies begin again under one name."""
OF_THE_CACHE = ("snapshot", "piece", "facts")
STUCK_SECONDS = (1000.0, 4000.0, 6 * 3600.0, 24 * 3600.0)
LONGEST_SECONDS = 4 * 3600.0


class Storm:
    """The weather of one world; `seen` counts what really happened."""

    def __init__(self, setting: Setting, thrown: Dice, seen: Counter[str]) -> None:
        self.quiet = False
        self.dark: Counter[str] = Counter()
        self.at_call: tuple[str, Callable[[], None]] | None = None
        self.upset: Callable[[], None] = lambda: None
        self._setting = setting
        self._dice = thrown
        self._seen = seen

    @property
    def stubborn(self) -> bool:
        """See `Sky.stubborn`."""
        return not self.quiet and "late" in self._setting.chances

    def fault(self, number: int, what: str) -> FaultKind | None:  # noqa: ARG002
        """See `Sky.fault`."""
        kind = what.removeprefix(OF_THE_SECOND).partition(" ")[0]
        if self.at_call is not None and self.at_call[0] == kind:
            self.at_call[1]()
            self.at_call = None
        if self.quiet:
            return None
        found = self._of_the_log() if kind == "append" else self._of_the_line(kind)
        if found == "late" and what.startswith(OF_THE_SECOND):
            found = "after"
        if found is not None:
            self._seen[f"{found} at {kind}" if kind == "append" else found] += 1
        return found

    def _of_the_log(self) -> FaultKind | None:
        if self._happens("full"):
            self.upset()
            return "before"
        if self._happens("failed disk"):
            self.upset()
            return "after"
        return None

    def _of_the_line(self, kind: str) -> FaultKind | None:
        if self.dark["cache" if kind in OF_THE_CACHE else "vault"]:
            self._seen["outage"] += 1
            return "before"
        for fault in BEFALLS.get(kind, ()):
            if self._happens(fault):
                return fault
        return None

    def _happens(self, what: str) -> bool:
        chance = self._setting.chances.get(what, 0.0)
        return chance > 0.0 and self._dice.random() < chance

    def seconds(self, what: str) -> float:
        """See `Sky.seconds`; a slow snapshot takes hours, a stalled disk a minute or two."""
        if what == "append":
            if not self.quiet and self._happens("stall"):
                self._seen["stall"] += 1
                self.upset()
                return self._dice.uniform(20.0, 120.0)
            return 0.005
        if not self.quiet and what.startswith("snapshot") and self._happens("slow"):
            self._seen["slow"] += 1
            return self._dice.uniform(60.0, LONGEST_SECONDS)
        return self._dice.expovariate(1.0 / self._setting.latency)

    def late(self) -> tuple[float, int | None]:
        """See `Sky.late`."""
        if self._dice.random() < 0.5:
            return 0.0, 1 + int(self._dice.paretovariate(0.7)) % 300
        return self._dice.expovariate(1.0 / self._dice.choice((1.0, 60.0, 3600.0))), None

    def stuck(self) -> float:
        """See `Sky.stuck`: until the file system is mounted again, or for a day."""
        return self._dice.choice(STUCK_SECONDS)
