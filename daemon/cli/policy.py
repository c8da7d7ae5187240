"""`valkeep policy`: a cache's auto-backup settings, shown in words and changed with care.

A change is planned first: what it would delete at once is named and asked for (A2).
"""

from collections.abc import Sequence

import click

from daemon.answers import Accepted, BackupView
from daemon.answers.policy import PolicyDetail, PolicyPlan
from daemon.cli.desk import Desk, json_option
from daemon.cli.policy_flags import change_of, policy_options
from daemon.cli.policy_page import in_words, page
from daemon.cli.question import confirm
from daemon.cli.tree import Tree
from daemon.cli.words import instant, plural, size
from daemon.client import path_of
from daemon.commands import PolicyChange, SetPolicy

SHOWN = 10


@click.group("policy", cls=Tree)
def policy() -> None:
    """Show and change when a cache is backed up by itself, and how long that is kept."""


@policy.command()
@click.argument("cache")
@json_option
@click.pass_obj
def show(desk: Desk, *, cache: str) -> None:
    """Show the policy of CACHE, and what comes of it in words."""
    detail, raw = desk.ask(PolicyDetail, path_of("caches", cache, "policy"))
    desk.show(raw, page(detail.policy, detail.now, desk.width))


@policy.command("set")
@click.argument("cache")
@policy_options
@click.option("--yes", is_flag=True, help="Do not ask, whatever is deleted at once.")
@json_option
@click.pass_obj
def set_policy(desk: Desk, /, cache: str, *, yes: bool, **given: object) -> None:
    """Change the policy of CACHE; what is not said stays as it is."""
    change = change_of(given)
    if change is None:
        raise click.UsageError("Nothing to set: give at least one setting.")
    raw, lines = changed(desk, cache, change, yes=yes)
    desk.show(raw, lines)


def changed(
    desk: Desk, cache: str, change: PolicyChange, *, yes: bool
) -> tuple[bytes, Sequence[str]]:
    """Change a policy after a yes to what that deletes; the answer, and what there is to say."""
    planned(desk, cache, change, yes=yes)
    answer, raw = desk.tell(Accepted, "/v1/commands", SetPolicy(cache, change))
    done = "is set" if answer.positions else "was that already"
    return raw, [f"The policy of {cache} {done}.", *told(desk, cache)]


def planned(desk: Desk, cache: str, change: PolicyChange, *, yes: bool) -> None:
    """Name what a change would delete at once, and go on only after a yes (A2)."""
    plan, _ = desk.tell(PolicyPlan, path_of("caches", cache, "policy", "plan"), change)
    for view in plan.ending:
        desk.note(f"will not be made any more: {view.cache}/{view.name} ({view.phase})")
    if not plan.going:
        return
    for view in plan.going[:SHOWN]:
        desk.note(f"will be deleted: {_named(view)}")
    if len(plan.going) > SHOWN:
        desk.note(f"… and {len(plan.going) - SHOWN:,} more.")
    stored = size(sum(view.stored_bytes or 0 for view in plan.going))
    many = plural(len(plan.going), "backup")
    what = f"With this policy retention deletes {many} of {cache} at once ({stored})"
    confirm(desk, what, yes=yes)


def told(desk: Desk, cache: str) -> list[str]:
    """A cache's policy in words, as it is now; nothing where the answer is to be JSON."""
    if desk.as_json:
        return []
    detail, _ = desk.ask(PolicyDetail, path_of("caches", cache, "policy"))
    return list(in_words(detail.policy, desk.width))


def _named(view: BackupView) -> str:
    return (
        f"{view.cache}/{view.name} ({view.kind}, taken {instant(view.taken_at)}, {view.backup_id})"
    )
