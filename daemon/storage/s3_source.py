"""Reading one object in S3 once and in order, as it was when it was opened.

Knows ranges and ETags. Each range is asked for with ``If-Match``, and because some servers pass
over that, each answer is compared besides. Deadlines and repetition are those of `s3_calls`.
"""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from msgspec.structs import replace

from daemon.errors import Permanent
from daemon.ports import Offload
from daemon.storage import s3_objects
from daemon.storage.arrival import Found, Source, changed, missing
from daemon.storage.s3_calls import Bucket, Patience, Server, Tools
from daemon.storage.s3_client import connect
from daemon.storage.s3_errors import Call, code_of
from daemon.storage.settings import VaultSettings
from daemon.storage.vault import ObjectName

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

RANGE_BYTES = 8 << 20
PATIENCE = Patience(busy_seconds=120.0)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


@asynccontextmanager
async def open_object(
    settings: VaultSettings, offload: Offload, jitter: Callable[[], float]
) -> AsyncGenerator[Source, None]:
    """The object that the settings' URL names; nothing is written anywhere."""
    bucket, key = _parts(settings.url)
    home = replace(settings, url=f"s3://{bucket}")
    tools = Tools(connect=partial(connect, home), offload=offload, jitter=jitter)
    server = Server(Bucket(bucket, "", home.url), tools, PATIENCE)
    try:
        name = ObjectName(key)
        head = await s3_objects.head(server, name, lasting=False)
        if head is None:
            await s3_objects.size(server, name)  # which raises where the bucket is missing
            raise missing(settings.url)
        found = Found(head["ContentLength"], head["LastModified"], head["ETag"])
        yield _Object(server, name, found)
    finally:
        await server.aclose()


class _Object:
    """An object that is read range by range."""

    def __init__(self, server: Server, name: ObjectName, found: Found) -> None:
        self.found = found
        self._server = server
        self._name = name
        self._at = 0

    async def read(self) -> bytes:
        """See `Source.read`."""
        length = min(RANGE_BYTES, self.found.size_bytes - self._at)
        if not length:
            return b""
        call = Call(f"read {self._name}", "s3:GetObject", length)
        data = await self._server.run(call, partial(self._range, length))
        self._at += length
        return data

    async def _range(self, length: int) -> bytes:
        last = self._at + length - 1
        try:
            answer = await self._server.client.get_object(
                Bucket=self._server.bucket.name,
                Key=self._name,
                Range=f"bytes={self._at}-{last}",
                IfMatch=self.found.version,
            )
        except ClientError as error:
            if code_of(error) in ("PreconditionFailed", "412", "NoSuchKey", "InvalidRange", "416"):
                raise changed(f"{self._server.bucket.url}/{self._name}") from error
            raise
        self._check(answer, f"bytes {self._at}-{last}/{self.found.size_bytes}")
        where = f"{self._name} in {self._server.bucket.url}"
        return await s3_objects.whole_body(answer, where, length)

    def _check(self, answer: "GetObjectOutputTypeDef", wanted: str) -> None:
        """A server that passes over ``If-Match`` may be telling of another object by now."""
        told = (answer.get("ContentRange", ""), answer.get("ETag", ""))
        if told != (wanted, self.found.version):
            answer["Body"].close()
            raise changed(f"{self._server.bucket.url}/{self._name}")


def _parts(url: str) -> tuple[str, str]:
    """Bucket and key; a key may be of any characters, and none is a folder."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket) or not key or key.endswith("/"):
        raise Permanent(
            "source",
            f"{url} names no object in S3.",
            "Say s3://BUCKET/KEY, the key of the RDB itself; `aws s3 ls` shows them.",
        )
    return bucket, key
