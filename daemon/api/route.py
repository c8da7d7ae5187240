"""What a route is: method, path, role and shapes, and one of two kinds of handler."""

from msgspec import Struct

from daemon.answers import Role
from daemon.api.asked import Lines, Question, Taking


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A route without parameters."""


class Route(Struct, frozen=True):
    """One route: a question with one answer, lines that come one by one, or bytes to take.

    `says` is the shape of the answer, or of one line; `body` a union or struct, if it has one.
    """

    method: str
    path: str
    role: Role
    summary: str
    says: object
    answer: Question | None = None
    lines: Lines | None = None
    takes: Taking | None = None
    query: type[Struct] = NoQuery
    body: object = None

    @property
    def pattern(self) -> str:
        """The path as aiohttp's router takes it: a backup's reference may hold a slash."""
        return self.path.replace("{ref}", "{ref:.+}")
