"""Errors by what the caller can do about them; each with a code, a message and a hint.

The message says what failed and where, the hint what to do. Neither ever holds a secret.
"""

from events.facts import Failure


class ValkeepError(Exception):
    """Base: `code` is kebab-case and stable, `message` and `hint` are for a person."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class BadRequest(ValkeepError):
    """The request itself is wrong: HTTP 400, exit 2."""


class Rejected(ValkeepError):
    """A rule or a blocker refuses it: HTTP 409, exit 3. Nothing happened."""


class Forbidden(ValkeepError):
    """The peer's role does not allow it: HTTP 403, exit 3."""


class NotFound(ValkeepError):
    """There is no such thing: HTTP 404, exit 4."""


class Unavailable(ValkeepError):
    """The log cannot be written: HTTP 503, exit 1."""


class Away(Unavailable):
    """The daemon stops, or is not there yet: HTTP 503. The next life will answer."""


class Unreachable(ValkeepError):
    """No daemon answers on the socket: exit 5."""


class Failed(ValkeepError):
    """Work on the outside failed: HTTP 500, exit 1. See the two kinds below."""

    permanent = False

    def as_failure(self) -> Failure:
        """The form that events carry."""
        return Failure(
            code=self.code, message=self.message, hint=self.hint, permanent=self.permanent
        )


class Transient(Failed):
    """Failed, and another try may succeed: network, load, a full disk, a busy server."""


class Permanent(Failed):
    """Failed for good until somebody changes something: authentication, rights, settings."""

    permanent = True
