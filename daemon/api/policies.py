"""A cache's policy as it is, and what a change would do before anybody makes it.

The plan decides the very command that would be given, on the present state, and asks
retention what it would delete by the policy that comes out: nothing is recorded.
"""

import msgspec
from immutables import Map
from msgspec.structs import replace

from daemon.answers.policy import PolicyDetail, PolicyPlan, PolicySettings, PolicyView
from daemon.api.asked import Asked
from daemon.api.find import cache_named
from daemon.api.policy_words import words
from daemon.api.queries import moment_of
from daemon.api.views import Moment, backup_view, next_start
from daemon.commands import PolicyChange, SetPolicy
from events.facts import BackupId, CacheName, Policy
from events.types import BackupAbandoned, BackupSkipped, PolicySet
from projections.caches import Cache
from projections.policy import window_text
from projections.retention import expired, terms_of, verdicts
from projections.state import State

_change = msgspec.json.Decoder(PolicyChange)


async def show(asked: Asked) -> PolicyDetail:
    """A cache's policy, and what comes of it."""
    moment = moment_of(asked)
    cache = cache_named(moment.state, asked.parts["name"])
    return PolicyDetail(now=moment.now, policy=policy_view(moment, cache))


async def plan(asked: Asked) -> PolicyPlan:
    """What a change of a policy would do now; refused as the command would be."""
    change = asked.read(_change.decode)
    moment = moment_of(asked)
    cache = cache_named(moment.state, asked.parts["name"])
    events = asked.outside.ledger.check(SetPolicy(cache.name, change))
    new = next((event.policy for event in events if isinstance(event, PolicySet)), cache.policy)
    ends = (BackupSkipped, BackupAbandoned)
    ending = [event.backup_id for event in events if isinstance(event, ends)]
    of_cache = moment.state.catalog.get(cache.name, Map())
    return PolicyPlan(
        now=moment.now,
        policy=policy_view(moment, replace(cache, policy=new), planned=True),
        changes=bool(events),
        going=tuple(
            backup_view(moment, of_cache[backup_id])
            for backup_id in going(moment, cache.name, new or Policy())
        ),
        ending=tuple(backup_view(moment, of_cache[b]) for b in ending if b in of_cache),
    )


def policy_view(moment: Moment, cache: Cache, *, planned: bool = False) -> PolicyView:
    """A cache's policy; of one that is only planned the next start is not known."""
    policy = cache.policy or Policy()
    return PolicyView(
        cache=cache.name,
        settings=_settings(policy),
        known=cache.policy is not None,
        declared=cache.declared and cache.suspended is None,
        words=words(cache, policy),
        file=cache.file,
        suspended=cache.suspended,
        next_start=None if planned else next_start(moment, cache),
    )


def _settings(policy: Policy) -> PolicySettings:
    return PolicySettings(
        auto=policy.auto,
        retention_days=policy.retention_days,
        retries=policy.retries,
        timezone=policy.timezone,
        windows=tuple(window_text(window) for window in policy.windows),
        keep_last=policy.keep_last,
        suspect_drop_percent=policy.suspect_drop_percent,
        verify=policy.verify,
    )


def going(moment: Moment, name: CacheName, policy: Policy) -> tuple[BackupId, ...]:
    """What retention deletes at once by another policy, and would not by the present one (A2)."""
    state: State = moment.state
    terms = terms_of(state, name)
    if terms is None:
        return ()
    now_gone = {expiry.backup_id for expiry in expired(state, name, moment.now)}
    judged = verdicts(
        state.catalog.get(name, Map()).values(), replace(terms, policy=policy), moment.now
    )
    return tuple(
        backup_id
        for backup_id, verdict in sorted(judged.items())
        if verdict.rule == "expired" and backup_id not in now_gone
    )
