"""The checker: shows every event and effect to the invariants that look at such, and remembers.

Knows in which order they are asked. What they ask for is theirs.
"""

from collections.abc import Iterable

from events import codec
from events.envelope import Record
from tests.simulation import (
    copy_rules,
    doubts,
    hook_rules,
    invariants,
    restores,
    rules,
    storing,
    twice,
    verdicts,
)
from tests.simulation.invariants import Invariant
from tests.simulation.view import View

AFTER_EVENTS = (
    *invariants.AFTER_EVENTS,
    *rules.ABOUT_AUTO,
    *twice.AFTER_EVENTS,
    *doubts.AFTER_EVENTS,
    *verdicts.ABOUT_PROOFS,
    *copy_rules.AFTER_EVENTS,
    *restores.AFTER_EVENTS,
    *hook_rules.AFTER_EVENTS,
)
AFTER_EFFECTS = (
    *invariants.AFTER_EFFECTS,
    *twice.AFTER_EFFECTS,
    *copy_rules.AFTER_EFFECTS,
    verdicts.what_is_read_stays,
    *restores.AFTER_EFFECTS,
    *hook_rules.AFTER_EFFECTS,
)
AT_THE_END = (
    *invariants.AT_THE_END,
    *rules.AUTO_AT_THE_END,
    *twice.AT_THE_END,
    *copy_rules.AT_THE_END,
    *restores.AT_THE_END,
    *hook_rules.AT_THE_END,
    *storing.AT_THE_END,
)
EVERY = {each.__name__ for each in (*AFTER_EVENTS, *AFTER_EFFECTS, *AT_THE_END)}


class Violation(AssertionError):
    """Invariants do not hold: their functions' names, and what the first one complained of."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.names = {name}


class Checker:
    """Looks on, and remembers what was wrong."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.first: Violation | None = None

    def events(self, records: tuple[Record, ...]) -> None:
        """The records of a commit have just become durable."""
        events = tuple(codec.decode(record.data) for record in records)
        self.view.commit = events
        for record, event in zip(records, events, strict=True):
            self.view.record(record, event)
            self._check(AFTER_EVENTS)

    def effect(self, what: str) -> None:
        """An effect has just happened on the far side."""
        self.view.last = what
        self.view.restores.effect(self.view.far, self.view.state, what)
        self._check(AFTER_EFFECTS)

    def end(self) -> None:
        """All is said to be done."""
        self.view.last = "the end"
        self._check(AT_THE_END)

    def _check(self, asked: Iterable[Invariant]) -> None:
        """Remember the first complaint of the first invariant that has one."""
        for invariant in asked:
            for detail in invariant(self.view):
                self.complain(invariant.__name__, detail=f"{detail} (after {self.view.last})")

    def complain(self, name: str, *, detail: str) -> None:
        """Something is wrong; the first thing is told, and the names of all."""
        self.first = self.first or Violation(name, detail)
        self.first.names.add(name)

    def verdict(self) -> None:
        """Raise what was wrong first."""
        if self.first is not None:
            raise self.first
