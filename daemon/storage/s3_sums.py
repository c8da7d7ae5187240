"""Checksums of what is sent to S3: how each is made, sent, answered, and put together.

Knows two families. ``Content-MD5`` every server knows, and answers with an ETag that is the
MD5. The flexible ones (``x-amz-checksum-*``) are answered as they are, also where encryption
makes the ETag say nothing; servers that do not know them pass over them silently (moto) or
trip over them later (rclone), so they are used only where they are known to be there.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

import anycrc
from msgspec import Struct

from daemon.errors import Permanent, Transient

Kind = Literal["md5", "crc32c", "sha256"]
Algorithm = Literal["CRC32C", "SHA256"]

_crc32c = anycrc.Model("CRC32C")


class Sent(TypedDict, total=False):
    """A checksum as a parameter of a request."""

    ContentMD5: str
    ChecksumCRC32C: str
    ChecksumSHA256: str


class Sum(Struct, frozen=True):
    """The checksum of one piece."""

    kind: Kind
    digest: bytes

    @property
    def base64(self) -> str:
        """As S3 wants it sent."""
        return b64encode(self.digest).decode()

    @property
    def told(self) -> str:
        """As a server tells it."""
        return self.digest.hex() if self.kind == "md5" else self.base64

    @property
    def sent(self) -> Sent:
        """As parameters of the request that carries the piece."""
        match self.kind:
            case "md5":
                return {"ContentMD5": self.base64}
            case "crc32c":
                return {"ChecksumCRC32C": self.base64}
            case "sha256":
                return {"ChecksumSHA256": self.base64}


class Summing(Struct, frozen=True):
    """One kind of checksum, for all that is sent to a server."""

    kind: Kind = "md5"

    @property
    def algorithm(self) -> Algorithm | None:
        """What an upload is begun with; None for MD5, which needs no announcement."""
        return None if self.kind == "md5" else "CRC32C" if self.kind == "crc32c" else "SHA256"

    def of(self, data: bytes | memoryview) -> Sum:
        """The checksum of these bytes. Against damage on the way, not malice."""
        return Sum(self.kind, self._digest(data))

    def whole(self, sums: Sequence[Sum]) -> str:
        """S3's formula for an object of parts: the checksum of the parts' checksums, and N."""
        digest = self._digest(b"".join(one.digest for one in sums))
        shown = digest.hex() if self.kind == "md5" else b64encode(digest).decode()
        return f"{shown}-{len(sums)}"

    def told(self, answer: Mapping[str, object]) -> str | None:
        """The server's own checksum of this kind in an answer; None where it tells none."""
        if self.kind == "md5":
            return None if is_encrypted_by_key(answer) else str(answer.get("ETag", "")).strip('"')
        found = answer.get(f"Checksum{self.algorithm}")
        return None if found is None else str(found)

    def check(self, answer: Mapping[str, object], sent: Sum, *, what: str) -> None:
        """The answer to bytes sent in one piece must have their checksum.

        With encryption by KMS an ETag is no MD5; there the server has compared ``Content-MD5``
        itself. A flexible checksum that is not answered was not compared by anybody.
        """
        got = self.told(answer)
        if got is None and self.kind == "md5":
            return
        if got is None:
            raise Permanent(
                "vault-checksum",
                f"the server took {what} without telling its {self.algorithm}",
                'it does not know such checksums: set checksum = "md5" for this vault',
            )
        if got != sent.told:
            raise Transient(
                "vault-corrupted",
                f"{what} has arrived as other bytes than were sent (it says {got:.80})",
                "bytes were damaged on the way or in the vault: look at both, if it happens again",
            )

    def running(self) -> "Running":
        """For a piece that is too large to be held: its checksum, chunk by chunk."""
        return Running(self.kind)

    def _digest(self, data: bytes | memoryview) -> bytes:
        running = self.running()
        running.update(data)
        return running.sum().digest


class Running:
    """A checksum in the making."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._crc = 0
        self._hash = hashlib.sha256() if kind == "sha256" else hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes | memoryview, /) -> None:
        """The next bytes."""
        if self._kind == "crc32c":
            self._crc = int(_crc32c.calc(data, self._crc))
        else:
            self._hash.update(data)

    def digest(self) -> bytes:
        """Of all bytes so far."""
        return self._crc.to_bytes(4, "big") if self._kind == "crc32c" else self._hash.digest()

    def sum(self) -> Sum:
        """The same as a checksum."""
        return Sum(self._kind, self.digest())


def is_encrypted_by_key(answer: Mapping[str, object]) -> bool:
    """Whether the answer says that ETags are no MD5 (SSE-KMS, SSE-C)."""
    kms = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
    return kms or "SSECustomerAlgorithm" in answer
