"""What the daemon answers about whether all is well: the shape of `valkeep check`."""

from datetime import datetime

from daemon.answers import Answer
from daemon.answers.standing import Level


class CheckLine(Answer, frozen=True):
    """One rule's verdict, on one cache or on the installation.

    `code` is the failure's where there is one, else the rule. There is a `hint` unless the level
    is ok.
    """

    level: Level
    rule: str
    message: str
    cache: str | None = None
    hint: str = ""
    code: str = ""


class Checked(Answer, frozen=True):
    """Every rule's verdict, worst first; `level` is the worst. No `now`: nobody answered."""

    level: Level
    lines: tuple[CheckLine, ...]
    now: datetime | None = None
