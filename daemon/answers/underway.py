"""A question that takes long, as the daemon tells of it: how far it is, and then the answer."""

import msgspec

from daemon.answers import Answer


class Underway(Answer, frozen=True):
    """How far a question is: what is being done, and how many of how many, where that counts."""

    doing: str
    done: int = 0
    total: int | None = None


class Told(Answer, frozen=True):
    """One line: how far it is, or, as the last one, the answer; what it has not is empty."""

    progress: Underway | None = None
    answer: msgspec.Raw = msgspec.Raw()
