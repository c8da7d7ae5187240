"""One object on its way to S3 (V3): a single request, or a multipart upload in bounded memory.

Knows how parts are sent, and how to be sure that what lies there is what was sent: it trusts
no answer that it can check. How large parts are, and where their bytes wait, is in `parts`.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from botocore.exceptions import ClientError
from msgspec import Struct

from daemon.errors import Failed
from daemon.storage.parts import (
    MOST_PARTS,
    Means,
    MemoryBody,
    PartBody,
    new_body,
    part_bytes,
    under_way_bytes,
)
from daemon.storage.s3_calls import Server, no_upload
from daemon.storage.s3_errors import RAISED, Call, code_of
from daemon.storage.s3_objects import put
from daemon.storage.s3_sums import Sum
from daemon.storage.s3_uploads import abort_upload, begin_upload
from daemon.storage.s3_whole import Piece, check_whole
from daemon.storage.vault import ObjectName

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import (
        CompletedPartTypeDef,
        CompleteMultipartUploadOutputTypeDef,
    )


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
        self._means = Means(server.offload, server.summing.running, server.spool)
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
            self._upload_id = await begin_upload(self._server, self._name)
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
        sent = Sum(self._server.summing.kind, await body.digest())
        call = Call(f"write {self._name}", "s3:PutObject", body.size_bytes, lasting=True)

        async def upload() -> Part:
            try:
                answer = await self._server.client.upload_part(
                    Bucket=self._server.bucket.name,
                    Key=self._key,
                    UploadId=self._upload_id,
                    PartNumber=number,
                    **sent.sent,
                    Body=body.open(),
                )
            except RAISED:
                if body.failure is not None:
                    raise body.failure from None
                raise
            where = f"{self._name} in {self._server.bucket.url}"
            self._server.summing.check(answer, sent, what=f"part {number} of {where}")
            return Part(answer["ETag"], sent, call.moved_bytes)

        return await self._server.run(call, upload)

    async def _complete(self) -> None:
        """Make the object of its parts, and look that it is there and whole.

        A repeated completion finds no upload because the first one, whose answer was lost,
        had succeeded: then the object itself is asked.
        """
        numbers = range(1, self._number)
        parts: list[CompletedPartTypeDef] = [self._completed(number) for number in numbers]

        async def complete() -> "CompleteMultipartUploadOutputTypeDef | None":
            try:
                return await self._server.client.complete_multipart_upload(
                    Bucket=self._server.bucket.name,
                    Key=self._key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": parts},
                )
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise
                return None

        call = Call(f"complete {self._name}", "s3:PutObject", lasting=True)
        answer = await self._server.run(call, complete)
        pieces = [Piece(self._parts[n].sum, self._parts[n].size_bytes) for n in numbers]
        await check_whole(self._server, self._name, pieces, answer)

    def _completed(self, number: int) -> "CompletedPartTypeDef":
        """A part as the completion names it; a flexible checksum is said again."""
        part = self._parts[number]
        named: CompletedPartTypeDef = {"PartNumber": number, "ETag": part.etag}
        if part.sum.kind == "crc32c":
            named["ChecksumCRC32C"] = part.sum.base64
        elif part.sum.kind == "sha256":
            named["ChecksumSHA256"] = part.sum.base64
        return named
