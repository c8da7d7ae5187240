"""What a vault's faults mean, in words: for `check`, `status` and `doctor` alike.

Pure. Without the right to write no backup is made: that is critical. What only keeps us from
tidying up is a warning, from the first day on, because nobody would notice it for weeks.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from events.facts import CacheName, VaultDeed, VaultFault, VaultName
from projections.checks import Level, Line
from projections.state import State
from projections.vaults import faults_of

_WARNINGS: Mapping[VaultDeed, str] = {
    "list": "it cannot be listed: what is to be deleted or swept stays, and nothing is found again",
    "delete": "it cannot delete: retention will not work, and everything stays and costs",
    "sweep": "it cannot give up unfinished uploads: what interrupted backups leave stays and costs",
}
_CRITICAL: Mapping[VaultDeed, str] = {
    "open": "it cannot be used",
    "write": "it cannot be written to: no backup can be stored",
    "read": "it does not give back what was stored: backups there would be worth nothing",
    "upload": "it takes no large objects: no backup of more than some MiB can be stored",
}


def level_of(fault: VaultFault) -> Level:
    """How bad it is."""
    return "warning" if fault.deed in _WARNINGS else "critical"


def meaning(fault: VaultFault) -> str:
    """What a fault means, and what the vault itself said."""
    means = _WARNINGS.get(fault.deed) or _CRITICAL[fault.deed]
    return f"{means} ({' '.join(fault.failure.message.split()).rstrip('.')})"


def judge(
    state: State, vaults: Mapping[VaultName, str], only: CacheName | None = None
) -> Iterator[Line]:
    """A line for each fault of each configured vault; none for one that nothing is known against.

    `vaults` has the URL of each; with `only`, those that this cache uses count.
    """
    for name, url in sorted(vaults.items()):
        if only is not None and not _uses(state, only, name):
            continue
        for fault in faults_of(state.vaults, name, url):
            since = f"{state.vaults[name].since:%Y-%m-%d %H:%MZ}"
            told = f"vault {name}: {meaning(fault)}; found on {since}"
            hint = f"{_ended(fault.failure.hint)} `valkeep doctor` tries it again."
            part = f"{name}/{fault.deed}"
            yield Line(level_of(fault), "vault", told, hint, None, fault.failure.code, part)


def _ended(hint: str) -> str:
    return hint if hint.endswith((".", "?", "!")) else f"{hint}."


def last_stored(state: State, name: VaultName) -> datetime | None:
    """When a vault has last taken a whole backup, for all that is remembered."""
    every = (b for of_cache in state.catalog.values() for b in of_cache.values())
    return max((b.completed_at for b in every if b.vault == name and b.completed_at), default=None)


def _uses(state: State, cache: CacheName, vault: VaultName) -> bool:
    known = state.caches.get(cache)
    return known is not None and vault in (known.settings.vault, known.settings.copy_to)
