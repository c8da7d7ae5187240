"""`valkeep restore`: the plan first, then the question, then the deed (R2, R3)."""

import click
import msgspec

from daemon.answers import (
    Accepted,
    PlanAnswer,
    PlanRequest,
    RestoreDetail,
    RestoreView,
)
from daemon.cli import blocked, follow
from daemon.cli.desk import Desk, json_option
from daemon.cli.new_flags import new_server_options, only_with_new, restore_new
from daemon.cli.patience import wait_options
from daemon.cli.question import confirm, name_typed
from daemon.cli.restore_file import file_wish, only_for_a_cache, to_file, with_target
from daemon.cli.restore_keys import KeysFlags, keys_options, overwritten, without_keys
from daemon.cli.restore_page import plan_lines, result_lines
from daemon.cli.restore_source import imported_first, refuse_together
from daemon.cli.restore_tree import WithUndo
from daemon.cli.source import is_source
from daemon.commands import RequestRestore
from daemon.errors import Failed, Rejected
from events.moves import KeysWish

LOADING_SECONDS = 3600.0
"""A plan by keys counts them, for which the daemon loads the backup into an engine of its own."""


class Wish(msgspec.Struct, frozen=True):
    """What the caller has said."""

    reference: str
    target: str
    plan_only: bool
    replace: bool
    force: tuple[str, ...]
    safety_backup: bool
    yes: bool
    wait: bool
    timeout: float | None
    vault: str | None = None
    keys: KeysWish | None = None


@click.command(cls=WithUndo)
@click.argument("reference", metavar="BACKUP|SOURCE")
@click.option("--to", "target", metavar="CACHE", help="The cache to restore into.")
@click.option("--file", metavar="PATH", help="Write the plain RDB to this file of yours instead.")
@click.option("--shard", metavar="SHARD", help="With --file: which one, where there are several.")
@new_server_options
@click.option(
    "--from",
    "vault",
    metavar="VAULT",
    help="Read the copy in this vault, not the backup in its own.",
)
@click.option("--plan", "plan_only", is_flag=True, help="Show what would happen, and do nothing.")
@click.option("--replace", is_flag=True, help="Overwrite a cache that holds keys, or the file.")
@blocked.force_option
@click.option(
    "--no-safety-backup",
    "safety_backup",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Do not back the cache up before it is overwritten.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options(default=False)
@keys_options
@json_option
@click.pass_obj
def restore(desk: Desk, /, **given: object) -> None:
    """Restore BACKUP (an id, the beginning of one, or CACHE/NAME).

    Into a running cache (--to); into a new server in a directory of yours (--new), which this
    command starts with your rights; or as a plain RDB into a file of yours (--file).

    Into a cache also an RDB from elsewhere: file:///PATH, s3://BUCKET/KEY, /PATH or ./PATH of a
    file of yours, - for a pipe. That is imported first, as a manual backup of CACHE.

    `valkeep restore undo CACHE` takes the newest restore into CACHE back.
    """
    keys = msgspec.convert(given, KeysFlags).keys
    if given["new"] is not None:
        restore_new(desk, given)
        return
    only_with_new(given)
    if given["file"] is not None:
        only_for_a_cache(given)
        without_keys(given, instead="--file")
        to_file(desk, file_wish(given))
        return
    wish = msgspec.convert(with_target(given), Wish)
    wish = msgspec.structs.replace(wish, keys=keys)
    if is_source(wish.reference):
        wish = _of_import(desk, wish)
    plan = _planned(desk, wish)
    if wish.plan_only:
        return
    request = RequestRestore(
        backup=plan.backup.backup_id,
        to=plan.target,
        replace=_allowed(desk, plan, wish),
        safety_backup=wish.safety_backup,
        force=wish.force,
        vault=wish.vault,
        method="keys" if wish.keys else "replication",
        keys=wish.keys,
    )
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    restore_id = answer.restore_id or ""
    if wish.wait:
        waited(desk, restore_id, target=wish.target, timeout=wish.timeout)
    else:
        desk.show(raw, [f"Restore {restore_id} is asked for. {see(wish.target)}"])


def _of_import(desk: Desk, wish: Wish) -> Wish:
    """The same for the backup that is made of the source; who brings one waits for the end."""
    refuse_together(wish.reference, plan_only=wish.plan_only, vault=wish.vault)
    backup_id = imported_first(
        desk, source=wish.reference, target=wish.target, timeout=wish.timeout
    )
    return msgspec.structs.replace(wish, reference=backup_id, wait=True)


def _planned(desk: Desk, wish: Wish) -> PlanAnswer:
    """The plan, shown: as the answer where only it was asked for, else before the deed."""
    request = PlanRequest(
        backup=wish.reference,
        to=wish.target,
        safety_backup=wish.safety_backup,
        force=wish.force,
        vault=wish.vault,
        method="keys" if wish.keys else "replication",
        keys=wish.keys,
    )
    patience = LOADING_SECONDS if wish.keys else None
    plan, raw = desk.tell(PlanAnswer, "/v1/plans", request, patience)
    lines = plan_lines(plan, wish.force, desk.width)
    if wish.plan_only:
        desk.show(raw, lines)
    else:
        for line in lines:
            desk.note(line)
    refuse_blocked(plan)
    return plan


def refuse_blocked(plan: PlanAnswer) -> None:
    """Raise `Rejected` where something stands in the way of a plan."""
    blocked.refuse_blocked(plan.plan.findings, plan.blockers)


def _allowed(desk: Desk, plan: PlanAnswer, wish: Wish) -> bool:
    """Whether the target may be overwritten; asks for its name where that was not said (R3)."""
    keys = plan.plan.target_keys
    what = f"The cache {plan.target} holds {keys:,} keys; all of them will be overwritten"
    if wish.keys is not None:
        keys = overwritten(plan.plan, wish.keys)
        what = f"The cache {plan.target} holds {keys:,} of the keys; they will be overwritten"
    if not keys:
        return wish.replace
    if wish.replace:
        confirm(desk, what, yes=wish.yes or not desk.interactive)
        return True
    if wish.yes or not desk.interactive:
        raise Rejected(
            "not-empty",
            f"{what.partition(';')[0]}.",
            "Say --replace to overwrite them.",
        )
    name_typed(desk, f"{what}.", name=plan.target)
    return True


def waited(desk: Desk, restore_id: str, *, target: str, timeout: float | None) -> None:
    """Stay until a restore has ended, and tell its result; raises as `failed` does."""
    stay = follow.Stay(f"The restore into {target}", "valkeep status", timeout)
    detail, raw = follow.restore(desk, restore_id, stay)
    if detail.restore.phase == "completed":
        desk.show(raw, result_lines(detail.restore, desk.width))
        return
    if desk.as_json:
        desk.show(raw, ())
    failed(detail)


def failed(detail: RestoreDetail) -> None:
    """Tell why a restore failed and how to go on, by raising `Failed` or `Rejected`."""
    view = detail.restore
    failure = view.failure
    if failure is None:
        raise Failed("restore-failed", f"Restore {view.restore_id} failed.", see(view.target))
    kind = Rejected if _refused(view) else Failed
    lines = [failure.hint]
    if view.plan is not None and view.plan.method == "keys":
        lines += view.by_hand
    elif view.undone:
        lines.append("What the restore had changed on the cache is undone.")
    else:
        lines.append("Not everything is undone. Left to do by hand:")
    if view.plan is None or view.plan.method != "keys":
        lines += [f"  {line}" for line in view.by_hand]
    if view.command:
        lines.append(f"To try again: {view.command}")
    if view.undo is not None:
        lines.append(f"To go back to the data before it: {view.undo.command}")
    told = f"Restore {view.restore_id} into {view.target} failed: {failure.message}"
    raise kind(failure.code, told, "\n        ".join(lines))


def _refused(view: RestoreView) -> bool:
    """Whether its own plan stopped it, before anything was touched."""
    codes = {f.code for f in view.plan.findings} if view.plan else set()
    return view.failure is not None and view.failure.code in codes | {"not-empty"}


def see(target: str) -> str:
    """Where to follow a restore."""
    return f"See: valkeep status, valkeep events --cache {target} --follow"
