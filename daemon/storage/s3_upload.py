"""One object on its way to S3 (V3): a single request, or a multipart upload in bounded memory.

Knows how parts are sent, and how to be sure that what lies there is what was sent: it trusts
no answer that it can check. How large parts are, and where their bytes wait, is in `parts`.
"""

import re
from contextlib import suppress
from hashlib import md5
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from botocore.exceptions import ClientError
from msgspec import Struct

from daemon.errors import Failed, Transient
from daemon.storage.parts import (
    MOST_PARTS,
    Means,
    MemoryBody,
    PartBody,
    new_body,
    part_bytes,
    under_way_bytes,
)
from daemon.storage.s3_calls import (
    Server,
    Sum,
    check_etag,
    hasher,
    is_encrypted_by_key,
    no_upload,
    sum_of,
)
from daemon.storage.s3_errors import RAISED, Call, code_of
from daemon.storage.s3_objects import abort_upload, head, put, read_range
from daemon.storage.vault import ObjectName
from daemon.storage.vault_errors import lost_upload

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

_MULTIPART_ETAG = re.compile(r"[0-9a-f]{32}-[0-9]+")
_READ_BACK_BYTES = 16 << 20


class Part(Struct, frozen=True):
    """A part that has arrived."""

    etag: str
    sum: Sum
    size_bytes: int


class S3Writer:
    """An `ObjectWriter` for S3: parts are sent by tasks while the next one fills.

    Memory: the filling part and those under way are together at most 32 MiB; larger parts are
    in files of the spool.
    """

    def __init__(self, server: Server, name: ObjectName) -> None:
        self.committed = False
        self._server = server
        self._name = name
        self._key = server.bucket.prefix + name
        self._means = Means(server.offload, hasher, server.spool)
        self._first = MemoryBody(self._means)
        self._filling: PartBody = self._first
        self._bodies: dict[int, PartBody] = {1: self._first}
        self._number = 1
        self._upload_id = ""
        self._sent_bytes = 0
        self._under_way_bytes = 0
        self._landed = anyio.Event()
        self._parts: dict[int, Part] = {}
        self._failure: Failed | None = None

    def begin(self, tasks: TaskGroup) -> None:
        """Called once, before the first `write`: parts are sent by these tasks."""
        self._tasks = tasks

    async def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        view = memoryview(data)
        while view:
            size_bytes = part_bytes(self._number, largest=self._means.largest)
            room = size_bytes - self._filling.size_bytes
            await self._filling.append(view[:room])
            view = view[room:]
            if self._filling.size_bytes == size_bytes:
                await self._dispatch()

    async def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        if not self._upload_id:
            await put(self._server, self._name, self._first.whole())
        else:
            if self._filling.size_bytes:
                await self._dispatch()
            await self._wait_below(0)
            await self._complete()
        self.committed = True

    async def abort(self) -> None:
        """Remove what has been sent; one upload that cannot be aborted is left to `clear`."""
        if self._upload_id:
            await abort_upload(self._server, key=self._key, upload_id=self._upload_id)

    async def release(self) -> None:
        """Give back what bodies are left; nothing is sent any more."""
        for body in self._bodies.values():
            with suppress(Failed):
                await body.remove()

    async def _dispatch(self) -> None:
        """Send the filled part by a task, and wait until there is room for the next one."""
        if self._number > MOST_PARTS:
            spooled = self._server.spool is not None
            raise no_upload(self._server.bucket.url, name=self._name, spooled=spooled)
        if not self._upload_id:
            self._upload_id = await self._begin()
        body = self._filling
        self._under_way_bytes += body.size_bytes
        self._sent_bytes += body.size_bytes
        self._tasks.start_soon(self._send, self._number, body)
        self._number += 1
        await self._wait_below(under_way_bytes(self._number, largest=self._means.largest))
        self._filling = await new_body(self._number, self._means)
        self._bodies[self._number] = self._filling

    async def _wait_below(self, limit_bytes: int) -> None:
        while self._under_way_bytes > limit_bytes and not self._failure:
            await self._landed.wait()
        if self._failure:
            raise self._failure

    async def _begin(self) -> str:
        answer = await self._server.run(
            Call(f"begin {self._name}", "s3:PutObject"),
            lambda: self._server.client.create_multipart_upload(
                Bucket=self._server.bucket.name, Key=self._key
            ),
        )
        return answer["UploadId"]

    async def _send(self, number: int, body: PartBody) -> None:
        """One part; its failure is kept for the next `write` or `commit`."""
        try:
            self._parts[number] = await self._sent(number, body)
            await self._bodies.pop(number).remove()
        except Failed as error:
            self._failure = error
        self._under_way_bytes -= body.size_bytes
        self._landed.set()
        self._landed = anyio.Event()

    async def _sent(self, number: int, body: PartBody) -> Part:
        sent = sum_of(await body.digest())
        call = Call(f"write {self._name}", "s3:PutObject", body.size_bytes)

        async def upload() -> Part:
            try:
                answer = await self._server.client.upload_part(
                    Bucket=self._server.bucket.name,
                    Key=self._key,
                    UploadId=self._upload_id,
                    PartNumber=number,
                    ContentMD5=sent.base64,
                    Body=body.open(),
                )
            except RAISED:
                if body.failure is not None:
                    raise body.failure from None
                raise
            if not is_encrypted_by_key(answer):
                where = f"{self._name} in {self._server.bucket.url}"
                check_etag(answer["ETag"], sent, what=f"part {number} of {where}")
            return Part(answer["ETag"], sent, call.moved_bytes)

        return await self._server.run(call, upload)

    async def _complete(self) -> None:
        """Make the object of its parts, and look that it is there and whole.

        A repeated completion finds no upload because the first one, whose answer was lost,
        had succeeded: then the object itself is asked.
        """
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": self._parts[number].etag}
            for number in range(1, self._number)
        ]

        async def complete() -> bool:
            try:
                await self._server.client.complete_multipart_upload(
                    Bucket=self._server.bucket.name,
                    Key=self._key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": parts},
                )
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise
                return False
            return True

        answered = await self._server.run(Call(f"complete {self._name}", "s3:PutObject"), complete)
        await self._check_whole(trusting=answered)

    async def _check_whole(self, *, trusting: bool) -> None:
        """The size always; the bytes themselves where neither ETag nor answer vouches for them."""
        found = await head(self._server, self._name)
        if found is None:
            where = self._server.bucket.url
            raise lost_upload(f"the upload of {self._name} to {where} is gone, and no object there")
        if found["ContentLength"] != self._sent_bytes:
            raise self._unlike(f"{found['ContentLength']} bytes, not {self._sent_bytes}")
        if self._etag_is_ours(found):
            return
        foreign = not _MULTIPART_ETAG.fullmatch(found["ETag"].strip('"'))
        if trusting and (foreign or is_encrypted_by_key(found)):
            return  # this server's ETag says nothing, and every part's own was compared
        await self._read_back()

    def _etag_is_ours(self, found: "HeadObjectOutputTypeDef") -> bool:
        """S3's formula: the MD5 of the parts' MD5s, a hyphen, the number of parts."""
        sums = [bytes.fromhex(self._parts[number].sum.hex) for number in sorted(self._parts)]
        whole = md5(b"".join(sums), usedforsecurity=False).hexdigest()
        return found["ETag"].strip('"') == f"{whole}-{len(sums)}"

    async def _read_back(self) -> None:
        """Compare the object with the parts' checksums, part by part, in bounded memory."""
        offset = 0
        for number in sorted(self._parts):
            part, found = self._parts[number], hasher()
            end = offset + part.size_bytes
            while offset < end:
                length = min(_READ_BACK_BYTES, end - offset)
                data = await read_range(self._server, self._name, offset=offset, length=length)
                await self._server.offload(found.update, data)
                offset += length
            if sum_of(found.digest()) != part.sum:
                raise self._unlike(f"other bytes in part {number}")

    def _unlike(self, how: str) -> Transient:
        return Transient(
            "vault-corrupted",
            f"{self._name} in {self._server.bucket.url} is not what was sent: {how}",
            "the server put it together wrongly; it will be sent again",
        )
