"""What an S3 server's or connection's error means, and what to do about it.

Knows botocore's exceptions and the error codes of S3 and of its imitators. It decides only
between "another try may help" and "somebody must change something".
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aiohttp import ClientError as WireError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection
from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient

Raised = BotoCoreError | ClientError | WireError | TimeoutError | OSError
RAISED = (BotoCoreError, ClientError, WireError, TimeoutError, OSError)
"""Everything that a call of aiobotocore raises when the outside is to blame."""

_KEYS = frozenset(
    {
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "SignatureDoesNotMatch",
        "UnauthorizedAccess",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_RIGHTS = frozenset({"AccessDenied", "AccountProblem", "AllAccessDisabled", "401", "403"})
_REGION = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
        "301",
        "307",
    }
)
_ON_THE_WAY = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InvalidDigest",
        "RequestTimeout",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_LOST = frozenset({"InvalidPart", "InvalidPartOrder", "NoSuchUpload"})
_LOCKED = ("object lock", "objectlock", "worm", "retention", "legal hold")  # in messages
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull"})
_BUSY = frozenset({"Busy", "OperationAborted", "RequestLimitExceeded", "SlowDown", "Throttling"})
_BUSY_STATUS = ("408", "409", "429", "5")  # as beginnings: every 5xx


class Call(Struct, frozen=True):
    """One kind of request, for messages and deadlines: ``write x`` needs ``s3:PutObject``.

    A `lasting` one is waited for: its failure would throw a whole attempt away.
    """

    action: str
    right: str
    moved_bytes: int = 0
    lasting: bool = False


def code_of(error: ClientError) -> str:
    """The server's error code; the HTTP status where there is no body (``HEAD``)."""
    return str(error.response.get("Error", {}).get("Code", ""))


def asked_silence(error: Raised) -> float:
    """Seconds that the server wants to be left alone for (``Retry-After``); 0 for none."""
    if not isinstance(error, ClientError):
        return 0.0
    headers = _headers(error)
    asked = headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked[:9])
    until, now = _date(asked), _date(headers.get("date", ""))
    return max(0.0, (until - now).total_seconds()) if until and now else 0.0


def explain(error: Raised, call: Call, url: str, *, now: datetime | None = None) -> Failed:
    """The error as ours, naming the vault and what to do; `now` is the present by our clock."""
    where = f"cannot {call.action} in {url}"
    if isinstance(error, ClientError):
        return _answered(error, call, where, now)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return _keys("vault-credentials", text=f"{where}: {error}")
    if isinstance(error, SSLError):
        return Permanent(
            "vault-tls",
            f"{where}: {error}",
            "the endpoint's certificate is not trusted here: name who signed it in tls_ca_file",
        )
    if isinstance(error, ParamValidationError | ValueError):
        return Permanent("vault-url", f"{where}: {error}", "check `url` and `endpoint_url`")
    if isinstance(error, TimeoutError):
        return Transient(
            "vault-timeout",
            f"{where}: no answer in time",
            "look whether the endpoint hangs, or the line to it is too slow",
        )
    known = isinstance(error, NoConnection | HTTPClientError | WireError | OSError)
    return Transient(
        "vault-unreachable" if known else "vault-failed",
        f"{where}: {error}",
        "check `endpoint_url`, the network and that the server runs",
    )


def _answered(error: ClientError, call: Call, where: str, now: datetime | None) -> Failed:
    """The server has answered: its code decides, then its HTTP status."""
    code = code_of(error)
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    said = str(error.response.get("Error", {}).get("Message", ""))[:300]
    text = f"{where}: {code} {said}".rstrip()
    if code in ("NoSuchBucket", "InvalidBucketName"):
        return Permanent("vault-bucket", text, "make the bucket, or correct `url`")
    if code in _EXPIRED:
        return _keys("vault-credentials-expired", text=text)
    if code in _KEYS:
        return _keys("vault-credentials", text=text)
    if code == "RequestTimeTooSkewed":
        return _skewed(error, text, now)
    if code in _REGION:
        return Permanent(
            "vault-region", text, "the bucket is in another region: set `region` or `endpoint_url`"
        )
    return (
        _by_keeping(code, call, text=text, said=said.lower())
        or _by_rights(code, call, status=status, text=text)
        or _by_load(code, status=status, text=text)
    )


def _by_keeping(code: str, call: Call, *, text: str, said: str) -> Failed | None:
    """What lies there is locked, archived, or not to be kept as it was asked for."""
    if call.right == "s3:DeleteObject" and any(word in said for word in _LOCKED):
        return Permanent(
            "object-locked",
            f"{text} (needs {call.right})",
            "a lock holds it until its date; it will be deleted after that",
        )
    if code == "InvalidObjectState":
        return Permanent(
            "object-archived",
            text,
            "a lifecycle rule has moved it to an archive: bring it back there (restore-object)",
        )
    if code == "InvalidStorageClass":
        return Permanent("vault-storage-class", text, "correct `storage_class` of this vault")
    if code.startswith("KMS"):
        return Permanent(
            "vault-kms",
            text,
            "check `sse_kms_key_id`; the keys need kms:GenerateDataKey and kms:Decrypt with it",
        )
    if call.right == "s3:PutObject" and any(word in said for word in _LOCKED[:2]):
        return Permanent(
            "vault-lock", text, "the bucket was made without object lock: leave `object_lock` out"
        )
    return None


def _by_rights(code: str, call: Call, *, status: str, text: str) -> Failed | None:
    if code in _RIGHTS or status in ("401", "403"):
        return Permanent(
            "vault-rights",
            f"{text} (needs {call.right})",
            f"the keys need the permission {call.right}; docs/storage.md has a whole policy",
        )
    if code in _LOST:
        return Transient(
            "upload-lost",
            text,
            "parts of it are gone: a sweep, a lifecycle rule, or a server that loses or wants "
            "parts of one size; it can be sent again",
        )
    return None


def _by_load(code: str, *, status: str, text: str) -> Failed:
    if code in _FULL or status == "507":
        return Transient("vault-full", text, "make room in the vault")
    if code in _ON_THE_WAY:
        return Transient(
            "vault-corrupted",
            text,
            "bytes were damaged on the way: look at the network, if it happens again",
        )
    if code in _BUSY or status.startswith(_BUSY_STATUS):
        return Transient("vault-busy", text, "the server is overloaded or broken: look at it")
    return Permanent(
        "vault-refused", text, "look the code up in the documentation of the S3 server"
    )


def _keys(code: str, *, text: str) -> Permanent:
    return Permanent(
        code,
        text,
        "check `access_key_id_env` and `secret_access_key_env`, or the usual AWS chain, "
        "of the daemon's user",
    )


def _skewed(error: ClientError, text: str, now: datetime | None) -> Transient:
    """Not for good: a clock that is being set right is soon right.

    By how much it is off is reckoned from both times in the answer, or its date and our clock.
    """
    told: Mapping[str, object] = dict(error.response.get("Error", {}))
    theirs = _date(str(told.get("ServerTime", ""))) or _date(_headers(error).get("date", ""))
    ours = _date(str(told.get("RequestTime", ""))) or now
    off = ""
    if theirs and ours:
        minutes = (ours - theirs).total_seconds() / 60
        side = "ahead of" if minutes > 0 else "behind"
        off = f"; this host's clock is {abs(minutes):.0f} minutes {side} the server's"
    return Transient(
        "clock-skew", f"{text}{off}", "set the clock that is wrong (timedatectl status)"
    )


def _headers(error: ClientError) -> Mapping[str, str]:
    return error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}) or {}


def _date(text: str) -> datetime | None:
    """An instant as HTTP or ISO 8601 write it, or as requests are signed."""
    for reading in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = reading(text)
        except (ValueError, TypeError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
