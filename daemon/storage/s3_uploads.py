"""Beginning an upload to S3, and giving it up so that nothing of it stays.

Knows that one request is not enough to give it up: a part that was under way may land after
it, and then is stored, and paid for, for ever. So the server is asked which parts there are,
and told again.
"""

from functools import partial

from botocore.exceptions import ClientError

from daemon.errors import Transient
from daemon.storage.s3_calls import Server
from daemon.storage.s3_errors import Call, code_of
from daemon.storage.vault import ObjectName

_ROUNDS = 4
_NONE = ("NoSuchUpload", "404")
_UNKNOWN = ("NotImplemented", "MethodNotAllowed", "501", "405")


async def begin_upload(server: Server, name: ObjectName) -> str:
    """The id of a new upload of this object; what is wished for it is said now."""
    wishes, algorithm = server.placing.wishes(name), server.summing.algorithm
    key = server.bucket.prefix + name

    async def try_it() -> str:
        begin = partial(server.client.create_multipart_upload, Bucket=server.bucket.name, Key=key)
        if algorithm is None:
            answer = await begin(**wishes)
        else:
            answer = await begin(ChecksumAlgorithm=algorithm, **wishes)
        return answer["UploadId"]

    return await server.run(Call(f"begin {name}", "s3:PutObject", lasting=True), try_it)


async def abort_upload(server: Server, *, key: str, upload_id: str) -> None:
    """Give up an upload; none there is success. May be repeated.

    Raises ``upload-stays`` when parts are there however often it was given up.
    """
    for _ in range(_ROUNDS):
        if not await _abort(server, key=key, upload_id=upload_id):
            return
        if not await _is_there(server, key=key, upload_id=upload_id):
            return
    raise Transient(
        "upload-stays",
        f"the upload of {key} to {server.bucket.url} has parts, however often it is given up",
        "parts of it are still being received: they go when that has ended",
    )


async def _abort(server: Server, *, key: str, upload_id: str) -> bool:
    """Whether there was one."""

    async def try_it() -> bool:
        try:
            await server.client.abort_multipart_upload(
                Bucket=server.bucket.name, Key=key, UploadId=upload_id
            )
        except ClientError as error:
            if code_of(error) not in _NONE:
                raise
            return False
        return True

    call = Call(f"give up the upload of {key}", "s3:AbortMultipartUpload")
    return await server.run(call, try_it)


async def _is_there(server: Server, *, key: str, upload_id: str) -> bool:
    """Whether parts of it can be listed; no from a server that cannot list them at all."""

    async def try_it() -> bool:
        try:
            found = await server.client.list_parts(
                Bucket=server.bucket.name, Key=key, UploadId=upload_id, MaxParts=1
            )
        except ClientError as error:
            if code_of(error) not in (*_NONE, *_UNKNOWN):
                raise
            return False
        return bool(found.get("Parts"))

    call = Call(f"list the parts of {key}", "s3:ListMultipartUploadParts")
    return await server.run(call, try_it)
