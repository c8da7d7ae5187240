"""Asking a person before something is deleted or overwritten; never guessing an answer."""

import click

from daemon.cli.desk import Desk
from daemon.errors import BadRequest, Rejected


def confirm(desk: Desk, what: str, *, yes: bool) -> None:
    """Go on only after a yes; raises `Rejected` for a no, `BadRequest` if nobody can be asked."""
    if yes:
        return
    if not desk.interactive:
        raise BadRequest(
            "not-confirmed",
            f"{what}: this has to be confirmed, and there is no terminal to ask on.",
            "Say --yes.",
        )
    if not click.confirm(f"{what}. Go on?", err=True):
        raise _declined()


def name_typed(desk: Desk, what: str, *, name: str) -> None:
    """Go on only after the name was typed; raises `Rejected` otherwise (R3)."""
    desk.note(what)
    typed = click.prompt("Type the cache's name to go on", err=True, default="", show_default=False)
    if typed != name:
        raise _declined()


def _declined() -> Rejected:
    return Rejected("declined", "Nothing was done.", "Run the command again to do it.")
