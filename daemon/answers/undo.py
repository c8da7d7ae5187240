"""What is told of taking restores back: which can be, until when, and what it would do."""

from datetime import datetime

from msgspec import Struct

from daemon.answers import Answer, PlanAnswer, RestoreView
from events.moves import RestoreMethod


class UndoRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to plan: as `undo-restore`, and nothing is touched."""

    cache: str
    force: tuple[str, ...] = ()
    vault: str | None = None
    method: RestoreMethod | None = None


class UndoPlan(Answer, frozen=True):
    """What would be taken back, and how; possible until `until`, null for ever."""

    now: datetime
    undoes: RestoreView
    plan: PlanAnswer
    until: datetime | None = None
