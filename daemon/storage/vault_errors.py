"""The errors that every vault words alike: an object that is missing, too short or too large.

Each names the vault and the object, and says what to do next.
"""

from daemon.errors import Permanent, Transient
from daemon.storage.vault import ObjectName

_OTHERS = (
    "verify the other backups of this vault: `valkeep backup verify BACKUP`; nothing was changed"
)
HANGS = "is its disk mounted, does its server run, is the network there?"


def missing(url: str, name: ObjectName) -> Permanent:
    """The vault says that there is no such object."""
    return Permanent("object-missing", f"{url} has no object {name}", _OTHERS)


def too_short(url: str, name: ObjectName, *, end: int) -> Permanent:
    """The object ends before the range that was asked for."""
    return Permanent("object-short", f"{name} in {url} ends before byte {end}", _OTHERS)


def too_large(url: str, name: ObjectName, *, size_bytes: int, limit_bytes: int) -> Permanent:
    """A small object is larger than whoever reads it can take."""
    return Permanent(
        "object-too-large",
        f"{name} in {url} has {size_bytes} bytes, more than the {limit_bytes} that fit",
        "it was not written by this version of Valkeep, or was changed: look at it by hand",
    )


def lost_upload(message: str) -> Transient:
    """What was sent has been swept away under the writer."""
    return Transient(
        "upload-lost",
        message,
        "something cleared it: a sweep, or a lifecycle rule of the bucket; it can be sent again",
    )


def still_there(url: str, *, prefix: str) -> Transient:
    """A folder that was cleared again and again has something in it."""
    return Transient(
        "vault-not-clear",
        f"{prefix} in {url} is not empty after it was cleared",
        "something still writes there, or the vault keeps what is deleted (object lock)",
    )


def unlike(url: str, name: ObjectName, *, how: str) -> Transient:
    """What lies there after a writing is not what was written."""
    return Transient(
        "vault-corrupted",
        f"{name} in {url} is not what was sent: {how}",
        "the server lost or changed it; it will be sent again",
    )
