"""What the daemon answers about its parts: the shape of `valkeep doctor`."""

from datetime import datetime
from typing import Literal

from daemon.answers import Answer

Grade = Literal["ok", "warning", "problem"]
Part = Literal["host", "engine", "channel", "vault", "cache", "hook"]


class Finding(Answer, frozen=True):
    """One thing that was looked at. There is a `hint` unless the grade is ok."""

    grade: Grade
    part: Part
    message: str
    name: str | None = None
    hint: str = ""
    code: str = ""


class Examined(Answer, frozen=True):
    """Every finding, worst first; `grade` is the worst of them."""

    now: datetime
    seconds: float
    grade: Grade
    findings: tuple[Finding, ...]
