"""A vault in an S3 bucket, or in whatever speaks as S3 does (V3).

Knows how the `Vault` protocol maps to requests. Single requests are in `s3_objects`, large
objects in `s3_upload`, deadlines and repetition in `s3_calls`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio
from botocore.exceptions import ClientError

from daemon.errors import Failed, Transient
from daemon.storage import s3_objects
from daemon.storage.names import checked_folder, checked_prefix, checked_segments
from daemon.storage.one_error import one_error
from daemon.storage.s3_calls import Server
from daemon.storage.s3_errors import Call, code_of
from daemon.storage.s3_first import put_first
from daemon.storage.s3_upload import S3Writer
from daemon.storage.s3_uploads import abort_upload
from daemon.storage.vault import ObjectInfo, ObjectName
from daemon.storage.vault_errors import missing, still_there, too_short

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import (
        ListMultipartUploadsOutputTypeDef,
        ListObjectsV2OutputTypeDef,
    )

PAGE_KEYS = 1_000
"""Of a listing; no server gives more at once."""
_ABORT_SECONDS = 20.0
_CLEAR_ROUNDS = 4


class S3Vault:
    """A `Vault` over one bucket and prefix."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """For messages."""
        return self._server.bucket.url

    @asynccontextmanager
    async def create(self, name: ObjectName) -> AsyncIterator[S3Writer]:
        """See `Vault.create`."""
        checked_segments(name)
        writer = S3Writer(self._server, name)
        try:
            with one_error():
                async with anyio.create_task_group() as tasks:
                    writer.begin(tasks)
                    yield writer
                    tasks.cancel_scope.cancel()
        finally:
            if not writer.committed:
                with anyio.move_on_after(_ABORT_SECONDS, shield=True), suppress(Failed):
                    await writer.abort()  # what stays nevertheless is for `clear`
            with anyio.CancelScope(shield=True):
                await writer.release()

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        checked_segments(name)
        await s3_objects.put(self._server, name, data)

    async def put_new(self, name: ObjectName, data: bytes) -> bool:
        """See `Vault.put_new`. Servers that pass over ``If-None-Match`` are asked first."""
        checked_segments(name)
        if await self.size(name) is not None:
            return False
        if await put_first(self, name, data, self._put_if_none):
            return True
        return await self.get(name, limit_bytes=1 << 20) == data

    async def _put_if_none(self, name: ObjectName, data: bytes) -> bool:
        return await s3_objects.put(self._server, name, data, only_new=True)

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """See `Vault.get`."""
        checked_segments(name)
        return await s3_objects.get(self._server, name, limit_bytes)

    async def read(self, name: ObjectName, *, offset: int, length: int) -> bytes:
        """See `Vault.read`."""
        checked_segments(name)
        if length:
            return await s3_objects.read_range(self._server, name, offset=offset, length=length)
        size_bytes = await self.size(name)  # HTTP has no empty ranges
        if size_bytes is None:
            raise missing(self.url, name)
        if size_bytes < offset:
            raise too_short(self.url, name, end=offset)
        return b""

    async def size(self, name: ObjectName) -> int | None:
        """See `Vault.size`."""
        checked_segments(name)
        return await s3_objects.size(self._server, name)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """See `Vault.list`."""
        above = len(self._server.bucket.prefix)
        async with aclosing(self._keys(checked_prefix(prefix))) as keys:
            async for key, size_bytes in keys:
                yield ObjectInfo(ObjectName(key[above:]), size_bytes)

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""
        checked_segments(name)
        await s3_objects.delete(self._server, self._server.bucket.prefix + name)

    async def clear(self, prefix: str) -> None:
        """See `Vault.clear`. Uploads go first: one that completes late is an object then."""
        checked_folder(prefix)
        for _ in range(_CLEAR_ROUNDS):
            if not await self._clear_uploads(prefix) + await self._clear_objects(prefix):
                return
        raise still_there(self.url, prefix=prefix)

    async def give_up_uploads(self, name: ObjectName, *, since: datetime) -> None:
        """Abort the unfinished uploads of exactly this object that were begun since then."""
        checked_segments(name)
        key = self._server.bucket.prefix + name
        async with aclosing(self._uploads(name)) as uploads:
            found = [one async for one in uploads if one[0] == key and one[2] >= since]
        for _, upload_id, _ in found:
            await abort_upload(self._server, key=key, upload_id=upload_id)

    async def aclose(self) -> None:
        """See `Vault.aclose`."""
        await self._server.aclose()

    async def _clear_uploads(self, prefix: str) -> int:
        """How many there were. They are listed first: aborting would shift the pages."""
        async with aclosing(self._uploads(prefix)) as uploads:
            found = [upload async for upload in uploads]
        for key, upload_id, _ in found:
            await abort_upload(self._server, key=key, upload_id=upload_id)
        return len(found)

    async def _clear_objects(self, prefix: str) -> int:
        async with aclosing(self._keys(prefix)) as keys:
            found = [key async for key, _ in keys]
        for key in found:
            await s3_objects.delete(self._server, key)
        return len(found)

    async def _keys(self, prefix: str) -> AsyncGenerator[tuple[str, int], None]:
        """Full keys and sizes, every page, in strictly rising order or not at all."""
        call = Call(f"list {prefix or 'all'}", "s3:ListBucket")
        full = self._server.bucket.prefix + prefix
        after, token = "", ""
        while True:
            page = await self._server.run(call, partial(self._page, full, token=token))
            for entry in page.get("Contents", []):
                key = entry["Key"]
                if not key.startswith(full) or key <= after:
                    raise self._bad_listing(f"{key!r:.200} came after {after!r:.200}")
                after = key
                yield key, entry["Size"]
            if not page["IsTruncated"]:
                return
            if page.get("NextContinuationToken", "") in ("", token):
                raise self._bad_listing("it does not say where the next page is")
            token = page["NextContinuationToken"]

    async def _page(self, prefix: str, *, token: str) -> "ListObjectsV2OutputTypeDef":
        bucket = self._server.bucket.name
        if token:
            return await self._server.client.list_objects_v2(
                Bucket=bucket, Prefix=prefix, MaxKeys=PAGE_KEYS, ContinuationToken=token
            )
        return await self._server.client.list_objects_v2(
            Bucket=bucket, Prefix=prefix, MaxKeys=PAGE_KEYS
        )

    async def _uploads(self, prefix: str) -> AsyncGenerator[tuple[str, str, datetime], None]:
        """Keys, ids and beginnings of unfinished uploads, every page."""
        call = Call(f"list uploads of {prefix}", "s3:ListBucketMultipartUploads")
        full = self._server.bucket.prefix + prefix
        marker = ("", "")
        while True:
            page = await self._server.run(call, partial(self._upload_page, full, marker))
            if page is None:
                return
            for upload in page.get("Uploads", []):
                if upload["Key"].startswith(full):
                    began = upload.get("Initiated", datetime.max.replace(tzinfo=UTC))
                    yield upload["Key"], upload["UploadId"], began
            if not page.get("IsTruncated"):
                return
            then = (page.get("NextKeyMarker", ""), page.get("NextUploadIdMarker", ""))
            if then in (("", ""), marker):
                raise self._bad_listing("it does not say where the next page is")
            marker = then

    async def _upload_page(
        self, prefix: str, marker: tuple[str, str]
    ) -> "ListMultipartUploadsOutputTypeDef | None":
        """One page; None from a server that keeps no such list.

        rclone answers ``NoSuchUpload`` to the first page when it has never had an upload.
        """
        bucket = self._server.bucket.name
        try:
            if marker == ("", ""):
                return await self._server.client.list_multipart_uploads(
                    Bucket=bucket, Prefix=prefix
                )
            return await self._server.client.list_multipart_uploads(
                Bucket=bucket, Prefix=prefix, KeyMarker=marker[0], UploadIdMarker=marker[1]
            )
        except ClientError as error:
            none_ever = code_of(error) == "NoSuchUpload" and marker == ("", "")
            if none_ever or code_of(error) in ("NotImplemented", "501"):
                return None
            raise

    def _bad_listing(self, why: str) -> Transient:
        """A list that cannot be trusted says nothing, least of all that something is gone."""
        return Transient(
            "vault-listing",
            f"the listing of {self.url} makes no sense: {why}",
            "the S3 server pages or sorts wrongly; nothing was concluded from it",
        )
