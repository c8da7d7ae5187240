"""`valkeep restore`: the plan first, then the question, then the deed (R2, R3)."""

import click

from daemon.answers import (
    Accepted,
    PlanAnswer,
    PlanRequest,
    RestoreDetail,
    RestoreView,
)
from daemon.cli import follow
from daemon.cli.desk import Desk, Interrupted, json_option
from daemon.cli.question import confirm, name_typed
from daemon.cli.restore_page import plan_lines, result_lines
from daemon.commands import RequestRestore
from daemon.errors import Failed, Rejected


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.option("--to", "target", metavar="CACHE", required=True, help="The cache to restore into.")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would happen, and do nothing.")
@click.option("--replace", is_flag=True, help="Overwrite a cache that holds keys.")
@click.option(
    "--force", metavar="CODE", multiple=True, help="Override this blocker; may be repeated."
)
@click.option(
    "--no-safety-backup",
    "safety_backup",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Do not back the cache up before it is overwritten.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--wait/--no-wait", default=False, help="Stay until it has ended, showing how far it is."
)
@click.option("--timeout", type=float, metavar="SECONDS", help="With --wait: no longer than this.")
@json_option
@click.pass_obj
def restore(  # noqa: PLR0913 - click hands each flag over by itself
    desk: Desk,
    *,
    reference: str,
    target: str,
    plan_only: bool,
    replace: bool,
    force: tuple[str, ...],
    safety_backup: bool,
    yes: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Restore BACKUP (an id, the beginning of one, or CACHE/NAME) into a running cache."""
    wish = PlanRequest(backup=reference, to=target, safety_backup=safety_backup, force=force)
    plan, raw = desk.tell(PlanAnswer, "/v1/plans", wish)
    if plan_only:
        desk.show(raw, plan_lines(plan, force, desk.width))
        _refuse_blocked(plan)
        return
    for line in plan_lines(plan, force, desk.width):
        desk.note(line)
    _refuse_blocked(plan)
    replace = _allowed(desk, plan, replace=replace, yes=yes)
    request = RequestRestore(
        backup=plan.backup.backup_id,
        to=plan.target,
        replace=replace,
        safety_backup=safety_backup,
        force=force,
    )
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    restore_id = answer.restore_id or ""
    if not wait:
        desk.show(raw, [f"Restore {restore_id} is asked for. {_see(plan.target)}"])
        return
    _wait(desk, restore_id, timeout, plan.target)


def _refuse_blocked(plan: PlanAnswer) -> None:
    if not plan.blockers:
        return
    first = next(f for f in plan.plan.findings if f.code in plan.blockers)
    more = f" (and {len(plan.blockers) - 1} more)" if len(plan.blockers) > 1 else ""
    hint = first.hint or "See the plan above."
    if first.forcible:
        hint = f"{hint.rstrip('.')}; or override it with --force {first.code}."
    raise Rejected(first.code, f"The plan has a blocker: {first.message}{more}", hint)


def _allowed(desk: Desk, plan: PlanAnswer, *, replace: bool, yes: bool) -> bool:
    """Whether the target may be overwritten; asks for its name where that was not said (R3)."""
    keys = plan.plan.target_keys
    what = f"The cache {plan.target} holds {keys:,} keys; all of them will be overwritten"
    if not keys:
        return replace
    if replace:
        confirm(desk, what, yes=yes or not desk.interactive)
        return True
    if yes or not desk.interactive:
        raise Rejected(
            "not-empty",
            f"The cache {plan.target} holds {keys:,} keys.",
            "Say --replace to overwrite them.",
        )
    name_typed(desk, f"{what}.", plan.target)
    return True


def _wait(desk: Desk, restore_id: str, timeout: float | None, target: str) -> None:
    try:
        detail, raw = follow.restore(desk, restore_id, timeout)
    except Interrupted:
        raise Interrupted(f"The restore goes on in the daemon. {_see(target)}") from None
    if detail.restore.phase == "completed":
        desk.show(raw, result_lines(detail.restore))
        return
    if desk.as_json:
        desk.show(raw, ())
    _failed(detail)


def _failed(detail: RestoreDetail) -> None:
    view = detail.restore
    failure = view.failure
    if failure is None:
        raise Failed("restore-failed", f"Restore {view.restore_id} failed.", _see(view.target))
    kind = Rejected if _refused(view) else Failed
    lines = [failure.hint]
    if view.undone:
        lines.append("What the restore had changed on the cache is undone.")
    else:
        lines.append("Not everything is undone. Left to do by hand:")
    lines += [f"  {line}" for line in view.by_hand]
    if view.command:
        lines.append(f"To try again: {view.command}")
    told = f"Restore {view.restore_id} into {view.target} failed: {failure.message}"
    raise kind(failure.code, told, "\n        ".join(lines))


def _refused(view: RestoreView) -> bool:
    """Whether its own plan stopped it, before anything was touched."""
    codes = {f.code for f in view.plan.findings} if view.plan else set()
    return view.failure is not None and view.failure.code in codes | {"not-empty"}


def _see(target: str) -> str:
    return f"See: valkeep status, valkeep events --cache {target} --follow"
