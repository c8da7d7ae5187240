"""What an S3 server says, in our words: worth another try, or not, and what to do."""

import pytest
from aiohttp import ClientPayloadError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    SSLError,
)

from daemon.storage.s3_calls import Patience
from daemon.storage.s3_errors import Call, Raised, explain

URL = "s3://bucket/prefix"
CALL = Call("write x", "s3:PutObject", 1 << 20)
ANSWERS: list[tuple[int, str, str, bool]] = [
    (403, "AccessDenied", "vault-rights", True),
    (403, "403", "vault-rights", True),
    (403, "SomethingNew", "vault-rights", True),
    (403, "InvalidAccessKeyId", "vault-credentials", True),
    (403, "SignatureDoesNotMatch", "vault-credentials", True),
    (400, "ExpiredToken", "vault-credentials-expired", True),
    (403, "RequestTimeTooSkewed", "clock-skew", False),
    (404, "NoSuchBucket", "vault-bucket", True),
    (301, "PermanentRedirect", "vault-region", True),
    (400, "BadDigest", "vault-corrupted", False),
    (400, "RequestTimeout", "vault-corrupted", False),
    (503, "SlowDown", "vault-busy", False),
    (500, "InternalError", "vault-busy", False),
    (502, "", "vault-busy", False),
    (429, "TooManyRequests", "vault-busy", False),
    (507, "XMinioStorageFull", "vault-full", False),
    (400, "InvalidArgument", "vault-refused", True),
    (400, "InvalidPart", "upload-lost", False),
    (404, "NoSuchUpload", "upload-lost", False),
    (403, "InvalidObjectState", "object-archived", True),
    (400, "InvalidStorageClass", "vault-storage-class", True),
    (400, "KMS.DisabledException", "vault-kms", True),
]


@pytest.mark.parametrize(("status", "answer", "code", "permanent"), ANSWERS)
def test_every_answer_has_its_meaning(
    status: int,
    answer: str,
    code: str,
    permanent: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The server's code decides whether trying again is of use."""
    error = ClientError(
        {
            "Error": {"Code": answer, "Message": "made up"},
            "ResponseMetadata": {"HTTPStatusCode": status},  # type: ignore[typeddict-item]
        },
        "PutObject",
    )
    failure = explain(error, CALL, URL)
    assert (failure.code, failure.permanent) == (code, permanent)
    assert URL in failure.message
    assert "write x" in failure.message
    assert failure.hint
    assert (code == "vault-rights") == ("s3:PutObject" in failure.hint)


RAISED: list[tuple[Raised, str, bool]] = [
    (NoCredentialsError(), "vault-credentials", True),
    (SSLError(endpoint_url="https://x", error=OSError()), "vault-tls", True),
    (EndpointConnectionError(endpoint_url="https://x"), "vault-unreachable", False),
    (ClientPayloadError("cut"), "vault-unreachable", False),
    (ConnectionResetError(), "vault-unreachable", False),
    (TimeoutError(), "vault-timeout", False),
    (BotoCoreError(), "vault-failed", False),
]


@pytest.mark.parametrize(("error", "code", "permanent"), RAISED)
def test_every_exception_has_its_meaning(
    error: Raised,
    code: str,
    permanent: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """What the client raises without an answer is told as well."""
    failure = explain(error, CALL, URL)
    assert (failure.code, failure.permanent) == (code, permanent)


def test_pauses_double_up_to_a_limit_and_are_spread() -> None:
    """Between tries there is more and more time, and never the same for everybody."""
    patience = Patience(first_pause_seconds=1, longest_pause_seconds=8)
    assert [patience.pause(failures, 1.0) for failures in range(1, 6)] == [1, 2, 4, 8, 8]
    assert patience.pause(3, 0.0) == 2


def test_a_large_part_has_more_time() -> None:
    """A deadline grows with the bytes that are to be moved."""
    patience = Patience(call_seconds=30, slowest_bytes_per_second=1 << 20)
    assert patience.seconds(0) == 30
    assert patience.seconds(8 << 20) == 38
