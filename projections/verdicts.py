"""The verdicts that come from elsewhere than the caches' rules: vaults, copies, channels, hooks.

Pure. The one list of them, for `check`, `status`, the metrics and the alarms alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from events.facts import CacheName, VaultName
from projections import alarm_checks, vault_checks
from projections.checks import Line
from projections.hook_checks import hook_lines
from projections.log_checks import CopyStanding, log_lines
from projections.state import State


def elsewhere(
    state: State,
    now: datetime,
    vaults: Mapping[VaultName, str],
    copies: Iterable[CopyStanding] = (),
    only: CacheName | None = None,
) -> Iterator[Line]:
    """Every line that no cache's rules give; with `only`, of the vaults that this cache uses."""
    yield from vault_checks.judge(state, vaults, only)
    yield from log_lines(state, now, copies)
    yield from alarm_checks.judge(state, now)
    yield from hook_lines(state, now, only)
