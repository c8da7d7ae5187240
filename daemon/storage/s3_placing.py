"""How objects are kept in a bucket: encryption, storage class, lock. Asked for, and checked.

Knows which objects are meant: everything is encrypted, data alone has the storage class (a
manifest is small and read often), what belongs to a backup is locked. Some servers pass over
such wishes in silence; what they did not say back they have not done.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypedDict

from msgspec import Struct

from daemon.errors import Permanent
from daemon.ports import Clock
from daemon.storage.names import CACHES, manifest_of
from daemon.storage.settings import Placement
from daemon.storage.vault import ObjectName

LockMode = Literal["GOVERNANCE", "COMPLIANCE"]
_LOCKS: Mapping[str, LockMode] = {"governance": "GOVERNANCE", "compliance": "COMPLIANCE"}


class Wishes(TypedDict, total=False):
    """What a request asks for, as botocore's parameters."""

    ServerSideEncryption: Literal["AES256", "aws:kms"]
    SSEKMSKeyId: str
    StorageClass: Literal["STANDARD_IA"]  # any name: servers have classes of their own
    ObjectLockMode: LockMode
    ObjectLockRetainUntilDate: datetime


class Placing(Struct, frozen=True):
    """The wishes of one vault; a lock needs the clock."""

    placement: Placement
    clock: Clock | None = None

    def wishes(self, name: ObjectName) -> Wishes:
        """For the request that begins an object."""
        wanted, wishes = self.placement, Wishes()
        if wanted.sse:
            wishes["ServerSideEncryption"] = wanted.sse
        if wanted.sse_kms_key_id:
            wishes["SSEKMSKeyId"] = wanted.sse_kms_key_id
        if self._class_of(name):
            wishes["StorageClass"] = wanted.storage_class  # type: ignore[typeddict-item]
        mode = self._lock_of(name)
        if mode and self.clock:
            span = timedelta(days=wanted.object_lock_days or 1)
            wishes["ObjectLockMode"] = mode
            wishes["ObjectLockRetainUntilDate"] = (self.clock.now() + span).replace(microsecond=0)
        return wishes

    def check(self, name: ObjectName, found: Mapping[str, object], *, url: str) -> None:
        """What ``HEAD`` says of a stored object must be what was asked for."""
        wanted, where = self.placement, f"{name} in {url}"
        got = found.get("ServerSideEncryption")
        if wanted.sse not in (None, got):
            setting = f'sse = "{wanted.sse}"'
            raise _passed_over("vault-sse", where=where, setting=setting, why=f"it says {got}")
        got = found.get("StorageClass", "STANDARD")
        if self._class_of(name) and got != wanted.storage_class:
            setting = f'storage_class = "{wanted.storage_class}"'
            why = f"it says {got}"
            raise _passed_over("vault-storage-class", where=where, setting=setting, why=why)
        if self._lock_of(name) not in (None, found.get("ObjectLockMode")):
            setting = f'object_lock = "{wanted.object_lock}"'
            why = "it tells of no such lock, or the keys lack s3:GetObjectRetention"
            raise _passed_over("vault-lock", where=where, setting=setting, why=why)

    def _class_of(self, name: ObjectName) -> bool:
        return self.placement.storage_class != "STANDARD" and _is_data(name)

    def _lock_of(self, name: ObjectName) -> LockMode | None:
        wanted = self.placement.object_lock
        return _LOCKS[wanted] if wanted and name.startswith(CACHES) else None


def _is_data(name: ObjectName) -> bool:
    return name.startswith(CACHES) and manifest_of(name) is None


def _passed_over(code: str, *, where: str, setting: str, why: str) -> Permanent:
    return Permanent(
        code,
        f"{where} was stored, but the server has not done what {setting} asks for: {why}",
        f"take {setting} out for this vault, or use a bucket that can do it (docs/storage.md)",
    )
