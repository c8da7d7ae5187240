"""What the daemon answers about proofs: of one backup, and of a cache as a whole."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import Failure, Receipt


class VerificationView(Struct, frozen=True, omit_defaults=True):
    """A verification that has not ended; `failure` is why its last try came to nothing."""

    cause: Literal["command", "policy"]
    running: bool
    tries: int
    quick: bool = False
    waits_for: str | None = None
    retry_at: datetime | None = None
    failure: Failure | None = None


class ProofView(Struct, frozen=True, omit_defaults=True):
    """What verifications have found of a backup.

    `refuted` is the damage that was found and not disproved since: then the backup does not count
    as good. `unproven` is why the last verification came to nothing.
    """

    receipt: Receipt | None = None
    verified_at: datetime | None = None
    refuted: Failure | None = None
    refuted_at: datetime | None = None
    unproven: Failure | None = None
    under_way: VerificationView | None = None


class CopiesView(Struct, frozen=True, omit_defaults=True):
    """A cache's copies in a vault: how many are `whole` by what is known, and how many `damaged`.

    `proven_at` is when one was last read back and was whole, by a proof of `level`.
    """

    vault: str
    whole: int
    damaged: int = 0
    proven_at: datetime | None = None
    level: str = ""


class AssuranceView(Struct, frozen=True, omit_defaults=True):
    """What a cache's backups are good for.

    `proven_at` and `level` are those of the newest proof, of the backup `name`.
    `restore_seconds` is a guess for the newest good backup, and `restore_from` tells from what;
    `restore_partly`: of reading alone. `lost_seconds` is the age of that backup, `newest`: what was
    written since would be lost.
    """

    proven_at: datetime | None = None
    level: str = ""
    name: str = ""
    restore_seconds: float | None = None
    restore_from: str = ""
    restore_partly: bool = False
    lost_seconds: float | None = None
    newest: str = ""
