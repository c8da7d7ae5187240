"""Deciding on policies: what a command or the file makes of them (A1-A4, C3).

Before a policy changes, what passed under the old one is settled: no occurrence is lost in
between.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from daemon.commands import DeclaredCache, PolicyChange, SetPolicy
from daemon.decide.decision import Context, Decision, declared, known_cache
from daemon.decide.schedule import settled
from daemon.errors import BadRequest, Rejected
from daemon.near import asked
from events.facts import BackupId, CacheName, Policy
from events.types import BackupAbandoned, BackupSkipped, Event, PolicySet
from projections import catalog
from projections.caches import Cache
from projections.policy import Unfit, parsed_windows, unfit, window_text, windows_unfit
from projections.state import State


def decide(state: State, command: SetPolicy, context: Context) -> Decision:
    """The events of a change by command; the same policy again is none."""
    cache = known_cache(state, command.cache)
    if cache.declared and cache.suspended is None:
        raise declared(cache, what=f"[caches.{cache.name}.policy]")
    policy = changed(cache, command.policy)
    return Decision(policy_events(state, cache.name, policy, context))


def changed(cache: Cache | None, change: PolicyChange) -> Policy:
    """A cache's policy with a change applied; raises `BadRequest` or `Rejected` with the rule.

    What stays as it was is judged only where it comes to count: an old zone that the database
    has lost does not keep anybody from turning auto backups off.
    """
    old = (cache.policy if cache else None) or Policy()
    said = {name: getattr(change, name) for name in change.__struct_fields__}
    said = {name: value for name, value in said.items() if value is not None}
    windows = old.windows if change.windows is None else parsed_windows(change.windows)
    new = replace(old, **{**said, "windows": windows})
    texts = [window_text(window) for window in windows]
    wrong = [
        *unfit(replace(new, windows=())),
        *windows_unfit(texts if change.windows is None else change.windows),
    ]
    _demand_fit([one for one in wrong if new.auto or one.setting in said])
    if not new.auto and said.keys() - {"auto"}:
        raise _auto_is_off(cache, change, sorted(said.keys() - {"auto"}))
    return new


def policy_events(
    state: State, name: CacheName, policy: Policy, context: Context, *, declared: bool = False
) -> tuple[Event, ...]:
    """A cache's new policy, after what belongs to the old one is settled."""
    cache = state.caches.get(name)
    if cache is not None and (cache.policy, cache.policy_declared) == (policy, declared):
        return ()
    before = settled(state, name, context)
    done = {event.backup_id for event in before if isinstance(event, _ENDS)}
    ended = _turned_off(state, name, done) if not policy.auto else ()
    return (*before, *ended, PolicySet(cache=name, policy=policy, declared=declared))


def declared_events(state: State, cache: DeclaredCache, context: Context) -> tuple[Event, ...]:
    """What the file's policy leads to; one that has left the file is turned off and kept.

    A policy that a command has set, and of which the file says nothing, stays.
    """
    known = state.caches.get(cache.name)
    if cache.policy is not None:
        return policy_events(state, cache.name, cache.policy, context, declared=True)
    if known is not None and known.policy is not None and known.policy_declared:
        off = replace(known.policy, auto=False)
        return policy_events(state, cache.name, off, context, declared=False)
    return ()


_ENDS = (BackupSkipped, BackupAbandoned)


def _turned_off(state: State, name: CacheName, done: set[BackupId]) -> tuple[Event, ...]:
    """Auto backups that still wait for a start or a retry are over; a running one goes on."""
    reason = "auto backups of this cache were turned off"
    events: list[Event] = []
    for backup in catalog.unfinished(state.catalog, name):
        if backup.kind != "auto" or backup.phase != "waiting" or backup.backup_id in done:
            continue
        kind = BackupAbandoned if backup.attempts else BackupSkipped
        events.append(kind(cache=name, backup_id=backup.backup_id, reason=reason))
    return tuple(events)


def _demand_fit(wrong: Sequence[Unfit]) -> None:
    if not wrong:
        return
    told = "; ".join(one.wrong for one in wrong)
    meant = "".join(f"{asked(one.meant)} " for one in wrong if one.meant)
    allowed = "; ".join(dict.fromkeys(f"{one.setting}: {one.allowed}" for one in wrong))
    raise BadRequest("policy", f"This policy cannot be: {told}.", f"{meant}Allowed: {allowed}.")


def _auto_is_off(cache: Cache | None, change: PolicyChange, settings: list[str]) -> Rejected:
    told = ", ".join(setting.replace("_", " ") for setting in settings)
    of = f" of {cache.name!r}" if cache else ""
    command = f"valkeep policy set {cache.name} --auto …" if cache else "--auto"
    off, hint = "are off", f"Turn them on in the same command: `{command}`."
    if change.auto is False:
        off, hint = "would be off", f"Leave out {told}: what was set before is kept."
    return Rejected(
        "auto-off",
        f"Auto backups{of} {off}, so {told} cannot be set: it would have no effect.",
        hint,
    )
