"""One request as the handlers see it: no HTTP left in it, only who asks for what."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from daemon.answers import Answer, Role
from daemon.api.peer import Peer
from daemon.api.rights import Holders, demand
from daemon.api.seams import Outside
from daemon.errors import BadRequest
from daemon.ports import Tell, untold

S = TypeVar("S", bound=Struct)


class Asked(Struct, frozen=True):
    """Who asks, the parts of the path, the query, the body, and the idempotency key.

    `cause` is the hook that asks, if it says so, and what it is run for.
    `holders` is whom the configuration names for each role, `tell` where it is told how far a
    question is.
    """

    outside: Outside
    peer: Peer
    role: Role
    parts: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    body: bytes = b""
    key: str | None = None
    holders: Holders = {}
    tell: Tell = untold
    cause: tuple[str, str] | None = None

    def demand(self, wanted: Role, what: str) -> None:
        """Raise `Forbidden` unless who asks may do this."""
        demand(self.role, wanted=wanted, what=what, holders=self.holders)

    def queried(self, shape: type[S]) -> S:
        """The query as its route says it is; raises `BadRequest`."""
        try:
            return msgspec.convert(dict(self.query), shape, strict=False)
        except msgspec.ValidationError as error:
            names = ", ".join(shape.__struct_fields__) or "none"
            raise BadRequest(
                "query", f"The query is wrong: {error}.", f"Parameters of this route: {names}."
            ) from error

    def read(self, shape: Callable[[bytes], S]) -> S:
        """The body, decoded; raises `BadRequest`."""
        try:
            return shape(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadRequest(
                "body",
                f"The request's body is wrong: {error}.",
                "GET /openapi.json has the shape of every body.",
            ) from error


Question = Callable[[Asked], Awaitable[Answer]]
Taking = Callable[[Asked, AsyncGenerator[bytes, None]], Awaitable[Answer]]
"""Something done with a body of any length while it comes."""
Lines = Callable[[Asked], AsyncGenerator[bytes, None]]
