"""Single requests about whole objects in S3: put, read, look, delete.

Each checks what was answered against what was asked, because servers, proxies and lines
lie now and then.
"""

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from daemon.errors import Transient
from daemon.storage.s3_calls import Server
from daemon.storage.s3_errors import Call, code_of
from daemon.storage.s3_sums import Sum
from daemon.storage.vault import ObjectName
from daemon.storage.vault_errors import lost_upload, missing, too_large, too_short, unlike

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import (
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
        PutObjectOutputTypeDef,
    )

_GONE = ("404", "NoSuchKey", "NotFound")
_REFUSED = ("400", "401", "403")


async def put(server: Server, name: ObjectName, data: bytes, *, only_new: bool = False) -> bool:
    """Store an object by one request, and look that it is there; False if it is not new.

    `only_new` asks the server to decide (``If-None-Match``); a refusal after a try whose
    answer was lost may be about our own bytes, so the object is compared.
    """
    sent = await server.offload(server.summing.of, data)
    call = Call(f"write {name}", "s3:PutObject", len(data), lasting=True)

    async def try_it() -> "PutObjectOutputTypeDef | None":
        send = partial(
            server.client.put_object,
            Bucket=server.bucket.name,
            Key=server.bucket.prefix + name,
            Body=BytesIO(data),
            **sent.sent,
            **server.placing.wishes(name),
        )
        try:
            answer = await (send(IfNoneMatch="*") if only_new else send())
        except ClientError as error:
            if only_new and code_of(error) in ("PreconditionFailed", "412"):
                return None
            raise
        server.summing.check(answer, sent, what=f"{name} in {server.bucket.url}")
        return answer

    answer = await server.run(call, try_it)
    if answer is not None:
        await _look_at_put(server, name, data, sent)
    return answer is not None


async def _look_at_put(server: Server, name: ObjectName, data: bytes, sent: Sum) -> None:
    """Some servers say yes to everything: it must be there, and is read where none vouches."""
    found = await head(server, name)
    if found is None:
        raise lost_upload(f"{server.bucket.url} accepted {name}, and has no such object")
    if found["ContentLength"] != len(data):
        how = f"{found['ContentLength']} bytes, not {len(data)}"
        raise unlike(server.bucket.url, name, how=how)
    server.placing.check(name, found, url=server.bucket.url)
    if server.summing.told(found) != sent.told and await get(server, name, len(data)) != data:
        raise unlike(server.bucket.url, name, how="other bytes")


async def get(server: Server, name: ObjectName, limit_bytes: int) -> bytes | None:
    """A whole object; None only if the server says that there is no such key."""

    async def try_it() -> bytes | None:
        try:
            answer = await server.client.get_object(
                Bucket=server.bucket.name, Key=server.bucket.prefix + name
            )
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        size_bytes = answer["ContentLength"]
        if size_bytes > limit_bytes:
            answer["Body"].close()
            raise too_large(server.bucket.url, name, size_bytes=size_bytes, limit_bytes=limit_bytes)
        return await whole_body(answer, f"{name} in {server.bucket.url}", size_bytes)

    return await server.run(Call(f"read {name}", "s3:GetObject", limit_bytes), try_it)


async def read_range(server: Server, name: ObjectName, *, offset: int, length: int) -> bytes:
    """A range, all of it; the answer must be about exactly these bytes."""
    wanted = f"bytes {offset}-{offset + length - 1}/"

    async def try_it() -> bytes:
        try:
            answer = await server.client.get_object(
                Bucket=server.bucket.name,
                Key=server.bucket.prefix + name,
                Range=f"bytes={offset}-{offset + length - 1}",
            )
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                raise missing(server.bucket.url, name) from error
            if code_of(error) in ("InvalidRange", "416"):
                raise too_short(server.bucket.url, name, end=offset + length) from error
            raise
        if not answer.get("ContentRange", "").startswith(wanted):
            answer["Body"].close()
            raise too_short(server.bucket.url, name, end=offset + length)
        return await whole_body(answer, f"{name} in {server.bucket.url}", length)

    return await server.run(Call(f"read {name}", "s3:GetObject", length), try_it)


async def head(
    server: Server, name: ObjectName, *, lasting: bool = True
) -> "HeadObjectOutputTypeDef | None":
    """What the server says of an object; None also where the whole bucket is missing.

    After a writing it is asked with patience. An answer to ``HEAD`` has no body that tells wrong
    keys from missing rights; a listing's has.
    """

    async def try_it() -> "HeadObjectOutputTypeDef | None":
        try:
            key = server.bucket.prefix + name
            if server.summing.algorithm is None:
                return await server.client.head_object(Bucket=server.bucket.name, Key=key)
            return await server.client.head_object(
                Bucket=server.bucket.name, Key=key, ChecksumMode="ENABLED"
            )
        except ClientError as error:
            if code_of(error) in _GONE:
                return None
            if code_of(error) in _REFUSED:
                await _list_one(server, name)
            raise

    return await server.run(Call(f"look at {name}", "s3:GetObject", lasting=lasting), try_it)


async def size(server: Server, name: ObjectName) -> int | None:
    """Bytes of an object. ``HEAD`` cannot tell a missing key from a missing bucket: ask."""
    found = await head(server, name, lasting=False)
    if found is not None:
        return found["ContentLength"]
    await server.run(Call("look at the bucket", "s3:ListBucket"), lambda: _list_one(server, name))
    return None


async def _list_one(server: Server, name: ObjectName) -> None:
    await server.client.list_objects_v2(
        Bucket=server.bucket.name, Prefix=server.bucket.prefix + name, MaxKeys=1
    )


async def delete(server: Server, key: str) -> None:
    """Remove an object by its full key; none there is success."""
    await server.run(
        Call(f"delete {key}", "s3:DeleteObject"),
        lambda: server.client.delete_object(Bucket=server.bucket.name, Key=key),
    )


async def whole_body(answer: "GetObjectOutputTypeDef", where: str, length: int) -> bytes:
    """The body of an answer, which must be of this length."""
    async with answer["Body"] as body:
        data = await body.read()
    if len(data) != length:
        raise Transient(
            "vault-corrupted",
            f"{len(data)} of {length} bytes of {where} came",
            "the connection was cut: look at the network, if it happens again",
        )
    return data
