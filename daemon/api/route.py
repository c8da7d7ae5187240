"""What a route is: method, path, role and shapes, and one of four kinds of handler."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from daemon.answers import Role
from daemon.api.asked import Asked, Lines, Question, Taking
from daemon.api.sending import Body

Text = Callable[[Asked], Awaitable[bytes]]
"""A question whose answer is text of its own kind."""

REFERENCE = "[0-9]{8}T[^/]*|[^/]+/[^/]+"
"""Where more follows the reference: an id or most of one, or CACHE/NAME. (A backup called "rdb"
can be asked for all the same.)"""


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A route without parameters."""


class Route(Struct, frozen=True):
    """One route: a question with one answer, lines one by one, plain bytes, text, or bytes to take.

    `says` is the shape of the answer, or of one line; `body` a union or struct, if it has one.
    """

    method: str
    path: str
    role: Role
    summary: str
    says: object
    answer: Question | None = None
    lines: Lines | None = None
    body_of: Body | None = None
    text: Text | None = None
    takes: Taking | None = None
    query: type[Struct] = NoQuery
    body: object = None
    tells: bool = False
    """Whether it may be asked, with ``progress=true``, to tell how far it is: see `telling`."""
    rights: str = ""
    """Who may, where that is more than the role: the handler itself demands it."""

    @property
    def pattern(self) -> str:
        """The path as aiohttp's router takes it: a backup's reference may hold a slash."""
        reference = REFERENCE if "{ref}/" in self.path else ".+"
        return self.path.replace("{ref}", f"{{ref:{reference}}}")
