"""The findings `rdb-type` and `rdb-checksum` of a restore's plan (R2): what lies in the vault.

Pure. A plan sees the object's size, its first block and the header in it; the restore itself
compares every byte before the last ones go out (R5).
"""

from collections.abc import Iterator

from msgspec import Struct

from events.facts import Failure, Finding

NO_RDB = "rdb-type"
"""The code of a failure: what is stored does not begin as an RDB does."""
_OWN_CODES = frozenset({NO_RDB, "identity"})


class Glance(Struct, frozen=True):
    """What a look at the beginning of the stored bytes has found.

    `rdb_version` is in their header, None where nobody could read it. `trouble` is why they must
    not be used, `refuted` what a verification has found wrong and none has taken back.
    """

    rdb_version: int | None = None
    trouble: Failure | None = None
    refuted: Failure | None = None


def stored(glance: Glance, recorded_version: int) -> Iterator[Finding]:
    """A blocker for bytes that are not those of the backup; a warning where that was found once."""
    trouble = glance.trouble
    if trouble is not None:
        code = trouble.code if trouble.code in _OWN_CODES else "rdb-checksum"
        yield Finding(code, "blocker", trouble.message, trouble.hint)
    elif glance.refuted is not None:
        yield Finding(
            "rdb-checksum",
            "warning",
            f"A verification of this backup failed: {glance.refuted.message}",
            "If that still holds, the restore stops before its last bytes and the old data stays. "
            "Verify it again (`valkeep backup verify`), or use another backup.",
        )
    if glance.rdb_version is not None and glance.rdb_version != recorded_version:
        yield Finding(
            "rdb-checksum",
            "blocker",
            f"The stored RDB is of version {glance.rdb_version}; the backup's record says "
            f"{recorded_version}.",
            "These are not the bytes that were backed up: use another backup.",
        )
