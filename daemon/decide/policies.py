"""Deciding on policies: what a command or the file makes of them (A1-A4, C3).

Before a policy changes, what passed under the old one is settled: no occurrence is lost in
between.
"""

from msgspec.structs import replace

from daemon.commands import DeclaredCache, PolicyChange, SetPolicy
from daemon.decide.decision import Context, Decision, declared, known_cache
from daemon.decide.schedule import settled
from daemon.errors import BadRequest, Rejected
from events.facts import BackupId, CacheName, Policy
from events.types import BackupAbandoned, BackupSkipped, Event, PolicySet
from projections import catalog
from projections.caches import Cache
from projections.policy import Unfit, parse_window, unfit, windows_unfit
from projections.state import State


def decide(state: State, command: SetPolicy, context: Context) -> Decision:
    """The events of a change by command; the same policy again is none."""
    cache = known_cache(state, command.cache)
    if cache.declared and cache.suspended is None:
        raise declared(cache, what=f"[caches.{cache.name}.policy]")
    policy = changed(cache, command.policy)
    return Decision(policy_events(state, cache.name, policy, context))


def changed(cache: Cache | None, change: PolicyChange) -> Policy:
    """A cache's policy with a change applied; raises `BadRequest` or `Rejected` with the rule."""
    old = (cache.policy if cache else None) or Policy()
    fields = {name: getattr(change, name) for name in change.__struct_fields__}
    fields = {name: value for name, value in fields.items() if value is not None}
    if change.windows is not None:
        _demand_fit(tuple(windows_unfit(change.windows)))
        found = [parse_window(text) for text in change.windows]
        windows = (window for window in found if window is not None)
        fields["windows"] = tuple(sorted(windows, key=lambda window: window.start))
    new = replace(old, **fields)
    _demand_fit(tuple(unfit(new)))
    if not new.auto and fields.keys() - {"auto"}:
        raise _auto_is_off(cache.name if cache else None, sorted(fields.keys() - {"auto"}))
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


def _demand_fit(wrong: tuple[Unfit, ...]) -> None:
    if not wrong:
        return
    told = "; ".join(f"{one.wrong}" for one in wrong)
    allowed = "; ".join(dict.fromkeys(f"{one.setting}: {one.allowed}" for one in wrong))
    raise BadRequest("policy", f"This policy cannot be: {told}.", f"Allowed: {allowed}.")


def _auto_is_off(name: CacheName | None, settings: list[str]) -> Rejected:
    told = ", ".join(setting.replace("_", " ") for setting in settings)
    of = f" of {name!r}" if name else ""
    command = f"valkeep policy set {name} --auto …" if name else "--auto"
    return Rejected(
        "auto-off",
        f"Auto backups{of} are off, so {told} cannot be set: it would have no effect.",
        f"Turn them on in the same command: `{command}`.",
    )
