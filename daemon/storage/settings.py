"""What a vault needs to be opened. Knows no environment and no file: secrets are handed in."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

Checksum = Literal["auto", "md5", "crc32c", "sha256"]


class Placement(Struct, frozen=True):
    """How S3 is to keep what is stored: checked how, encrypted by whom, in which class, locked.

    `checksum` "auto" is CRC-32C at Amazon's own S3 and MD5 with an `endpoint_url`. Without
    `sse` the bucket decides. The storage class is for data, not for manifests. What is
    locked are the objects of backups; nobody can remove them for `object_lock_days`.
    """

    checksum: Checksum = "auto"
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: str | None = None
    storage_class: str = "STANDARD"
    object_lock: Literal["governance", "compliance"] | None = None
    object_lock_days: int | None = None


class S3Keys(Struct, frozen=True):
    """A key in its halves, and the token of one that is temporary. Never printed."""

    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None

    def __repr__(self) -> str:
        return "S3Keys(…)"


class VaultSettings(Struct, frozen=True):
    """Where a vault is and how to reach it; without keys the usual AWS chain is asked.

    `keys` is asked for the key at each connection, so that one that was rotated is found; it
    takes the place of the two written out. Never printed: it holds the keys themselves.
    """

    url: str
    endpoint_url: str | None = None
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key_id: str | None = None
    secret_access_key: str | None = None
    ca_file: str | None = None
    keys: Callable[[], S3Keys] | None = None
    placement: Placement = Placement()

    def __repr__(self) -> str:
        return f"VaultSettings({self.url!r}, …)"
