"""Random seeds: fleets for days, with trouble of every kind, and a quiet end (P1-P4, LV1-LV6).

Every world is checked after each event and each effect, and at its end; see `invariants` and
`rules`. `make soak` goes on with fresh seeds.
"""

from collections import Counter
from datetime import timedelta

import pytest
from msgspec import Struct

from daemon.decide.policies import changed
from tests.simulation.dice import dice
from tests.simulation.fleet import Fleet
from tests.simulation.reference import reference_occurrences
from tests.simulation.setting import TURNS, a_policy, light, swarm
from tests.support import reference

SEEDS = 16
"""So many worlds at least; further ones until everything that is wanted has come up."""
MOST_SEEDS = 96
DAYS = 3.0
ONCE_FAILED = {
    102: "an occurrence that a waiting backup was to serve was told as missed, for a wrong reason",
    38: "a clock that was ahead for hours made served occurrences be told as missed after it",
    77: "what had been settled by a clock that was ahead hid occurrences of a later policy",
}
FAULTS = {
    *("before", "after", "late", "permanent", "odd", "short", "flipped", "torn", "hang"),
    *("frozen", "stuck"),
    *("slow", "stall", "outage", "before at append", "after at append"),
}
HAPPENINGS = {
    *("killed", "stopped", "long away", "clock forward", "clock back", "clock ahead", "pause"),
    *("killed within append", "killed within commit", "killed within clear"),
    *("killed within delete", "killed within write", "killed within snapshot"),
    *("policy", "remove", "file", "manual", "by hand", "delete", "cancel"),
    *("hung up on policy", "hung up on manual", "hung up on by hand"),
    *("summer begins", "summer ends"),
}
OUTCOMES = {
    *("BackupCompleted", "BackupFailed", "RetryScheduled", "BackupAbandoned", "BackupSkipped"),
    *("BackupDeferred", "WindowMissed", "RetentionExpired", "DeletionRequested", "BackupDeleted"),
    *("BackupCancelled", "LeftoversStuck"),
    *("LeftoversSwept", "CacheSuspended", "CacheRemoved", "PolicySet", "AttemptStarted"),
}


class Campaign(Struct):
    """What happened in all these worlds together."""

    seen: Counter[str]
    outcomes: Counter[str]
    days: float = 0.0

    def missing(self) -> set[str]:
        """What has not come up yet."""
        return (FAULTS | HAPPENINGS) - self.seen.keys() | OUTCOMES - self.outcomes.keys()


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    """All seeds, one after the other; the first that breaks an invariant ends it."""
    told = Campaign(Counter(), Counter())
    for seed in range(MOST_SEEDS):
        if seed >= SEEDS and not told.missing():
            break
        fleet = Fleet(swarm(seed, days=DAYS)).run()
        told.seen += fleet.seen
        told.outcomes += fleet.outcomes()
        told.days += fleet.days
    return told


def test_seeds(campaign: Campaign) -> None:
    """Nothing that happens in these worlds breaks an invariant, and they all come right."""
    assert campaign.days > DAYS * SEEDS


def test_everything_sometimes_happens(campaign: Campaign) -> None:
    """Every fault, every happening and every outcome came up: the quiet is not for want of them."""
    assert set() == campaign.missing()


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_seeds_that_failed_once(seed: int) -> None:
    """Worlds in which something was wrong once are sound (what it was stands beside each seed)."""
    Fleet(swarm(seed)).run()


def test_light_faults() -> None:
    """Twenty caches under light faults make nearly all of their backups."""
    fleet = Fleet(light(1, days=2.0)).run()
    done = fleet.outcomes()
    assert done["BackupCompleted"] > 0.9 * done["BackupRequested"] > 50


def test_windows_of_the_checker() -> None:
    """The checker's windows are those that walking through every minute gives."""
    thrown = dice(1, "windows")
    for at in TURNS:
        policy = changed(None, a_policy(thrown))
        span = {"since": at, "until": at + timedelta(days=3)}
        assert reference.reference_occurrences(policy, **span) == reference_occurrences(
            policy, **span
        )
