"""`valkeep restore undo`: take the newest restore into a cache back, with its safety backup."""

from collections.abc import Iterator

import click
import msgspec

from daemon.answers import Accepted
from daemon.answers.undo import UndoPlan, UndoRequest
from daemon.cli.blocked import force_option
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import wait_options
from daemon.cli.question import confirm, name_typed
from daemon.cli.restore import refuse_blocked, see, waited
from daemon.cli.restore_page import plan_lines
from daemon.cli.table import facts
from daemon.cli.words import age, instant
from daemon.commands import UndoRestore
from daemon.errors import Rejected
from events.moves import RestoreMethod


class Wish(msgspec.Struct, frozen=True):
    """What the caller has said."""

    cache: str
    plan_only: bool
    replace: bool
    yes: bool
    force: tuple[str, ...]
    vault: str | None
    method: RestoreMethod | None
    wait: bool
    timeout: float | None


@click.command("undo")
@click.argument("cache", metavar="CACHE")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would happen, and do nothing.")
@click.option("--replace", is_flag=True, help="Overwrite what the cache holds now.")
@click.option("--yes", is_flag=True, help="Do not ask; in scripts the same as --replace.")
@force_option
@click.option(
    "--from", "vault", metavar="VAULT", help="Read the safety backup's copy in this vault."
)
@click.option(
    "--method",
    type=click.Choice(["replication", "keys"]),
    help="Bring back all of it, or by keys; else as the restore itself was made.",
)
@wait_options(default=False)
@json_option
@click.pass_obj
def undo(desk: Desk, /, **given: object) -> None:
    """Take the newest restore into CACHE back: its safety backup is restored.

    What the cache holds now is backed up before that, so that this can be undone, too.
    """
    wish = msgspec.convert(given, Wish)
    found = _planned(desk, wish)
    if wish.plan_only:
        return
    request = UndoRestore(
        cache=wish.cache,
        restore_id=found.undoes.restore_id,
        replace=_allowed(desk, found, wish),
        force=wish.force,
        vault=wish.vault,
        method=wish.method,
    )
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    restore_id = answer.restore_id or ""
    if wish.wait:
        waited(desk, restore_id, target=wish.cache, timeout=wish.timeout)
    else:
        desk.show(raw, [f"Restore {restore_id} is asked for. {see(wish.cache)}"])


def _planned(desk: Desk, wish: Wish) -> UndoPlan:
    request = UndoRequest(wish.cache, force=wish.force, vault=wish.vault, method=wish.method)
    found, raw = desk.tell(UndoPlan, "/v1/plans/undo", request)
    lines = [*page(found, desk.width), *plan_lines(found.plan, wish.force, desk.width)]
    if wish.plan_only:
        desk.show(raw, lines)
    else:
        for line in lines:
            desk.note(line)
    refuse_blocked(found.plan)
    return found


def page(found: UndoPlan, width: int) -> Iterator[str]:
    """What was restored when and by whom, and what comes back; before the plan itself."""
    was, back = found.undoes, found.plan.backup
    what = f"{was.backup_cache}/{was.backup_name or was.backup_id}"
    ended = "completed" if was.phase == "completed" else "failed, and changed the data,"
    yield f"Undo: restore {was.restore_id} of {what} into {was.target}"
    pairs = [
        ("asked for", f"{instant(was.requested_at)} by {was.requested_by}"),
        ("ended", f"{ended} at {instant(was.ended_at)} ({age(found.now, was.ended_at)})"),
        ("it undid", f"restore {was.undoes}" if was.undoes else ""),
        ("comes back", f"the data of {instant(back.taken_at)}, {age(found.now, back.taken_at)}"),
        ("kept until", instant(found.until)),
    ]
    yield from facts(pairs, indent="  ", width=width)
    yield "  What was written to the cache since then is not in it."


def _allowed(desk: Desk, found: UndoPlan, wish: Wish) -> bool:
    """Whether the cache may be overwritten; asks for its name where that was not said (R3)."""
    keys, name = found.plan.plan.target_keys, found.plan.target
    what = f"The cache {name} holds {keys:,} keys; all of them will be overwritten"
    if not keys:
        return wish.replace
    if wish.replace or wish.yes:
        confirm(desk, what, yes=wish.yes or not desk.interactive)
        return True
    if not desk.interactive:
        raise Rejected(
            "not-empty", f"The cache {name} holds {keys:,} keys.", "Say --yes to overwrite them."
        )
    name_typed(desk, f"{what}.", name=name)
    return True
