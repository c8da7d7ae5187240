"""What an S3 server's or connection's error means, and what to do about it.

Knows botocore's exceptions and the error codes of S3 and of its imitators. It decides only
between "another try may help" and "somebody must change something".
"""

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
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
    }
)
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
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull"})
_BUSY = frozenset({"Busy", "OperationAborted", "RequestLimitExceeded", "SlowDown", "Throttling"})
_BUSY_STATUS = ("408", "409", "429", "5")  # as beginnings: every 5xx


class Call(Struct, frozen=True):
    """One kind of request, for messages and deadlines: ``write x`` needs ``s3:PutObject``."""

    action: str
    right: str
    moved_bytes: int = 0


def code_of(error: ClientError) -> str:
    """The server's error code; the HTTP status where there is no body (``HEAD``)."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: Raised, call: Call, url: str) -> Failed:
    """The error as ours, naming the vault and what to do."""
    where = f"cannot {call.action} in {url}"
    if isinstance(error, ClientError):
        return _answered(error, call, where)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return _keys(f"{where}: {error}")
    if isinstance(error, SSLError):
        return Permanent(
            "vault-tls",
            f"{where}: {error}",
            "the endpoint's certificate is not trusted here: install its CA certificate",
        )
    if isinstance(error, ParamValidationError | ValueError):
        return Permanent("vault-url", f"{where}: {error}", "check `url` and `endpoint_url`")
    if isinstance(error, TimeoutError):
        return Transient(
            "vault-timeout",
            f"{where}: no answer in time",
            "the endpoint hangs or the line is too slow; it will be tried again",
        )
    known = isinstance(error, NoConnection | HTTPClientError | WireError | OSError)
    return Transient(
        "vault-unreachable" if known else "vault-failed",
        f"{where}: {error}",
        "check `endpoint_url`, the network and that the server runs; it will be tried again",
    )


def _answered(error: ClientError, call: Call, where: str) -> Failed:
    """The server has answered: its code decides, then its HTTP status."""
    code = code_of(error)
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    said = str(error.response.get("Error", {}).get("Message", ""))[:200]
    text = f"{where}: {code} {said}".rstrip()
    if code in ("NoSuchBucket", "InvalidBucketName"):
        return Permanent("vault-bucket", text, "make the bucket, or correct `url`")
    if code in _KEYS:
        return _keys(text)
    if code == "RequestTimeTooSkewed":
        return Permanent(
            "clock-skew", text, "the clocks differ too much: set this one's (timedatectl status)"
        )
    if code in _REGION:
        return Permanent(
            "vault-region", text, "the bucket is in another region: set `region` or `endpoint_url`"
        )
    if code in _RIGHTS or status in ("401", "403"):
        return Permanent("vault-rights", text, f"the keys need the permission {call.right}")
    return _by_load(code, status=status, text=text)


def _by_load(code: str, *, status: str, text: str) -> Failed:
    again = "it will be tried again"
    if code in _FULL or status == "507":
        return Transient("vault-full", text, f"make room in the vault; {again}")
    if code in _ON_THE_WAY:
        return Transient("vault-corrupted", text, f"bytes were damaged on the way; {again}")
    if code in _BUSY or status.startswith(_BUSY_STATUS):
        return Transient("vault-busy", text, f"the server is overloaded or broken; {again}")
    return Permanent(
        "vault-refused", text, "look the code up in the documentation of the S3 server"
    )


def _keys(text: str) -> Permanent:
    return Permanent(
        "vault-credentials",
        text,
        "check `access_key_id_env` and `secret_access_key_env`, or the usual AWS chain, "
        "of the daemon's user",
    )
