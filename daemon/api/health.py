"""Whether all is well, and if not, what is wrong and what to do: for somebody at 3 a.m.

Knows what the log knows: whether a cache answers right now is not asked here, and what was
measured is added in `vitals`. Many caches take turns with everybody else.
"""

from collections.abc import Mapping
from itertools import chain

from anyio.lowlevel import checkpoint

from daemon.api.views import Moment
from daemon.errors import Unavailable
from events.facts import CacheName, Failure, VaultName
from projections import checks
from projections.checks import Level, Line
from projections.log_checks import CopyStanding
from projections.verdicts import elsewhere

AT_ONCE = 32
"""Caches that are looked at before others get a turn on the event loop."""


async def judged(
    moment: Moment,
    trouble: Unavailable | None,
    only: CacheName | None = None,
    *,
    vaults: Mapping[VaultName, str],
    copies: tuple[CopyStanding, ...] = (),
) -> tuple[Line, ...]:
    """Every rule's verdict, worst first; on all caches or on one, and on the installation."""
    failure = Failure(trouble.code, trouble.message, trouble.hint) if trouble else None
    levels: dict[Level, list[Line]] = {level: [] for level in reversed(checks.LEVELS)}
    others = tuple(elsewhere(moment.state, moment.now, vaults, copies, only))
    portions = checks.judge(moment.state, moment.now, failure, only)
    # They come in the order of the caches' names: nothing is left to be sorted at once.
    for number, portion in enumerate(portions):
        if number % AT_ONCE == 0:
            await checkpoint()
        for line in portion:
            levels[line.level].append(line)
    found = chain.from_iterable(levels.values())
    return checks.ordered((*others, *found)) if others else tuple(found)
