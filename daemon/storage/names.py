"""Object names, built from checked names and ids only (C1, M1, S1).

Knows the layout of a vault. It refuses whatever could lead out of its folder or hide in it:
every part of a name begins with a letter, a digit or an underscore, so neither ``..`` nor a
vault's own temporary names (they begin with a dot) can be said.
"""

import re

from daemon.errors import BadRequest
from daemon.storage.vault import ObjectName
from events.facts import BackupId, CacheName, InstallationId, Position, ShardName

OWNER = ObjectName("valkeep.json")
"""Whose vault this is (S2)."""
CACHES = "caches/"
"""The prefix of every backup."""
LOG = "log/"
"""The prefix of the copies of the log."""

_CACHE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_BACKUP_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_SHARD = re.compile(r"[0-9]{4}")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_ATTEMPT = r"(?:\.([2-9]|[1-9][0-9]))?"
_FOLDER = re.compile(rf"caches/{_CACHE.pattern}/{_BACKUP_ID.pattern}{_ATTEMPT}/")
_MANIFEST = re.compile(
    rf"caches/({_CACHE.pattern})/({_BACKUP_ID.pattern}){_ATTEMPT}/manifest\.json"
)
_LOG_SEGMENT = re.compile(r"log/([0-9]{12,19})-([0-9]{12,19})\.ndjson\.zst(\.age)?")
MOST_ATTEMPTS = 99
_INSTALLATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CANARY_FOLDER = re.compile(rf"canary-{_INSTALLATION.pattern}/")
_OF_BACKUP = re.compile(rf"caches/({_CACHE.pattern})/({_BACKUP_ID.pattern}){_ATTEMPT}/.+")
_LONGEST = 900  # S3 ends at 1,024 bytes, and the vault's own prefix comes before the name


def backup_folder(cache: CacheName, backup_id: BackupId, attempt: int = 1) -> str:
    """The prefix of everything that one attempt at a backup stores; it ends with a slash.

    The first attempt has the backup's id for a name, and further ones ``<id>.2`` and so on: what
    an attempt or its sweep still does after it was given up cannot reach the next one's data.
    """
    _check("cache name", value=cache, rule=_CACHE)
    _check("backup id", value=backup_id, rule=_BACKUP_ID)
    if not 1 <= attempt <= MOST_ATTEMPTS:
        raise BadRequest("bad-name", f"{attempt} is not an attempt", f"1 to {MOST_ATTEMPTS}")
    return f"{CACHES}{cache}/{backup_id}{f'.{attempt}' if attempt > 1 else ''}/"


def shard_object(
    cache: CacheName,
    backup_id: BackupId,
    shard: ShardName,
    attempt: int = 1,
    *,
    encrypted: bool = False,
) -> ObjectName:
    """Where one shard's RDB lies, compressed and perhaps encrypted; the name tells how."""
    _check("shard name", value=shard, rule=_SHARD)
    codecs = ".zst.age" if encrypted else ".zst"
    return ObjectName(f"{backup_folder(cache, backup_id, attempt)}{shard}.rdb{codecs}")


def manifest_object(cache: CacheName, backup_id: BackupId, attempt: int = 1) -> ObjectName:
    """Where the manifest lies, which is written last and deleted first."""
    return ObjectName(f"{backup_folder(cache, backup_id, attempt)}manifest.json")


def copy_marker(cache: CacheName, backup_id: BackupId, attempt: int = 1) -> ObjectName:
    """What lies in a backup's folder while a copy of it is begun: see `copying`."""
    return ObjectName(f"{backup_folder(cache, backup_id, attempt)}copying")


def manifest_of(name: ObjectName) -> tuple[CacheName, BackupId, int] | None:
    """The backup and attempt whose manifest this is by its name, or None for any other object."""
    found = _MANIFEST.fullmatch(name)
    return found and (CacheName(found[1]), BackupId(found[2]), int(found[3] or 1))


def attempt_of(name: ObjectName) -> tuple[CacheName, BackupId, int] | None:
    """The backup and attempt in whose folder this object is, or None for any other object."""
    found = _OF_BACKUP.fullmatch(name)
    return found and (CacheName(found[1]), BackupId(found[2]), int(found[3] or 1))


def canary_folder(installation: InstallationId) -> str:
    """The prefix of what an installation stores only to see whether it can; ends with a slash.

    It is nobody else's, so that whatever lies in it may be swept by that installation.
    """
    _check("installation id", value=installation, rule=_INSTALLATION)
    return f"canary-{installation}/"


def log_object(*, first: Position, last: Position, encrypted: bool = False) -> ObjectName:
    """Where a copy of these positions of the log lies; the names sort by position."""
    return ObjectName(f"{LOG}{first:012}-{last:012}.ndjson.zst{'.age' if encrypted else ''}")


def log_span_of(name: ObjectName) -> tuple[Position, Position, bool] | None:
    """First and last position, and whether it is encrypted; None for any other object."""
    found = _LOG_SEGMENT.fullmatch(name)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        return None
    return Position(int(found[1])), Position(int(found[2])), found[3] is not None


def log_object_aside(name: ObjectName, mark: str) -> ObjectName:
    """Where a copy of a log that was given up is kept; it is no longer read."""
    return ObjectName(f"{LOG}aside-{mark}/{name.removeprefix(LOG)}")


def checked_segments(name: ObjectName) -> tuple[str, ...]:
    """The parts of an object's name; `ValueError` if any could mean more than itself."""
    segments = tuple(name.split("/"))
    if len(name) > _LONGEST or not all(map(is_segment, segments)):
        raise ValueError(f"not an object name: {name!r}")
    return segments


def is_segment(text: str) -> bool:
    """Whether this could be one part of an object's name."""
    return _SEGMENT.fullmatch(text) is not None


def checked_prefix(prefix: str) -> str:
    """A prefix to list by: nothing, or the beginning of an object's name."""
    if prefix:
        checked_segments(ObjectName(prefix.removesuffix("/")))
    return prefix


def checked_folder(prefix: str) -> str:
    """A prefix that may be cleared: exactly the folder of one backup or of canaries.

    Anything else is a `ValueError`.
    """
    if not (_FOLDER.fullmatch(prefix) or _CANARY_FOLDER.fullmatch(prefix)):
        raise ValueError(f"not the folder of one backup: {prefix!r}")
    return prefix


def _check(what: str, *, value: str, rule: re.Pattern[str]) -> None:
    if not rule.fullmatch(value):
        raise BadRequest(
            "bad-name",
            f"{value!r:.80} is not a {what}",
            f"a {what} matches {rule.pattern}",
        )
