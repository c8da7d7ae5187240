"""What the daemon answers about a lost log: what the vaults know, and what was recovered."""

from datetime import datetime

from msgspec import Struct

from daemon.answers import Answer


class Recover(Struct, frozen=True, forbid_unknown_fields=True):
    """Take over what the vaults know; `adopt` also those of other installations.

    `vault` names one vault; without it all configured ones are looked at.
    """

    adopt: bool = False
    vault: str | None = None


class FoundView(Answer, frozen=True):
    """A backup that a vault holds and the log does not know."""

    backup_id: str
    cache: str
    name: str
    kind: str
    taken_at: datetime
    stored_bytes: int


class VaultFound(Answer, frozen=True):
    """What one vault knows.

    `owner` is the installation whose it is, `ours` that it is this one. `log_position` and
    `log_at` are the last record of which it has a copy, `log_whole` that the copy has no hole.
    `gone` are backups that the log lists, and that its copy says were to go.
    `differs` says how it and the log disagree. `caches` are those that its copy tells of.
    """

    vault: str
    url: str
    owner: str | None = None
    ours: bool = False
    backups: int = 0
    unknown: tuple[FoundView, ...] = ()
    log_position: int = 0
    log_at: datetime | None = None
    log_whole: bool = False
    caches: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    differs: str = ""
    trouble: tuple[str, ...] = ()


class Recoverable(Answer, frozen=True):
    """What a recovery would do now. `history` is the vault whose copy would become the log.

    `why_not` is why there is none, if the log is new.
    """

    now: datetime
    vaults: tuple[VaultFound, ...]
    history: str | None = None
    why_not: str = ""


class RecoveredAnswer(Answer, frozen=True):
    """What was recovered. With `imported` the daemon starts again, on that history."""

    vaults: tuple[str, ...]
    backups: int
    caches: tuple[str, ...] = ()
    imported: int = 0
