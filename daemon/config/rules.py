"""What a setting's text must look like, one rule for each, and which names are refused.

Pure. Looks at nothing outside the text: whether a file exists or a bucket answers is for
others to find out. A rule shows a value only where it cannot hold a secret.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from daemon.bech32 import Bech32Error, decode
from daemon.config.prices import OF_PRICES
from daemon.config.problem import Wrong
from daemon.rates import ALLOWED as RATE_ALLOWED
from daemon.rates import BadRate, rate
from daemon.size import ALLOWED, size_bytes
from projections.policy import Unfit, window_unfit, zone_unfit

Rule = Callable[[str], Wrong | None]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ROLE = re.compile(r"(user|group):[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_PREFIX_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_=.-]*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CLASS = re.compile(r"[A-Z][A-Z0-9_-]{0,63}")
_KMS_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9:/_.-]{0,2047}")
SMALLEST_SPOOL_BYTES = 64 << 20
_SOCKET_BYTES = 107  # sun_path of Linux, without its closing NUL

_NO_SECRET = Wrong(
    "holds a password, which does not belong in this file (it is not shown)",
    "Take it out of the URL and name where it is kept: password_file or password_env.",
)
_NO_KEYS = Wrong(
    "holds an access key, which does not belong in this file (it is not shown)",
    "Name where it is kept: access_key_id_env and secret_access_key_env, or the _file forms.",
)
_CACHE_URL = (
    "Allowed: valkey://[USER@]HOST[:PORT], redis:// likewise, valkeys:// and rediss:// for TLS, "
    "or unix:///PATH[?user=USER]."
)
_NO_VAULT_URL = "is not the URL of a vault"
_VAULT_URL = "Allowed: file:///absolute/path, or s3://BUCKET or s3://BUCKET/PREFIX."
_RECIPIENT = "Allowed: age1…, 62 characters, as `age-keygen` prints it (X25519)."
_KMS = 'Allowed: an id, an alias ("alias/NAME") or an ARN, as the service shows it.'
_ENDPOINT = "Allowed: http://HOST[:PORT] or https://HOST[:PORT]."


def name(text: str) -> Wrong | None:
    """Rule C1, for caches and vaults: names become folders."""
    if NAME.fullmatch(text):
        return None
    return Wrong(
        "is not a name",
        "Allowed: 1 to 64 letters, digits, '_' and '-', the first a letter or a digit.",
    )


def absolute_path(text: str) -> Wrong | None:
    """An absolute path without ``..``; the text is not shown, a password may stand there."""
    if text.startswith("/") and "\0" not in text and ".." not in text.split("/"):
        return None
    return Wrong("is not an absolute path", 'Allowed: a path that begins with "/", without "..".')


def socket_path(text: str) -> Wrong | None:
    """An absolute path that fits into the address of a Unix socket."""
    if len(text.encode()) > _SOCKET_BYTES:
        return Wrong(
            f"is {len(text.encode())} bytes long",
            f"Allowed: at most {_SOCKET_BYTES} bytes, the limit for the address of a socket.",
        )
    return absolute_path(text)


def variable(text: str) -> Wrong | None:
    """The name of an environment variable; the text is not shown, a secret may stand there."""
    if _VARIABLE.fullmatch(text):
        return None
    return Wrong(
        "is not the name of an environment variable (it is not shown)",
        "Allowed: letters, digits and '_', not beginning with a digit; the name, not the value.",
    )


def role(text: str) -> Wrong | None:
    """One entry of a role: a user or a group of this host."""
    if _ROLE.fullmatch(text):
        return None
    return Wrong(f'has "{text}"', "Allowed: user:NAME or group:NAME.")


def address(text: str) -> Wrong | None:
    """An IP address to listen on."""
    try:
        ip_address(text)
    except ValueError:
        return Wrong(f'is "{text}"', 'Allowed: an IP address; "0.0.0.0" and "::" mean all.')
    return None


def host(text: str) -> Wrong | None:
    """An address or a name that others reach us by; empty to find it out."""
    if not text or _HOST.fullmatch(text) or address(text) is None:
        return None
    return Wrong(
        f'is "{text}"', 'Allowed: a host name or an IP address without a port; "" to find out.'
    )


def server_name(text: str) -> Wrong | None:
    """The name that a server's certificate is for."""
    if text and host(text) is None:
        return None
    return Wrong(f'is "{text}"', "Allowed: a host name or an IP address without a port.")


def cache_url(text: str) -> Wrong | None:
    """How to reach a cache: never shown, and never with a password."""
    parsed = _split(text)
    if parsed is None:
        return Wrong("is not a URL", _CACHE_URL)
    if parsed.password is not None or "password" in parse_qs(parsed.query):
        return _NO_SECRET
    match parsed.scheme:
        case "valkey" | "redis" | "valkeys" | "rediss":
            return _tcp_url(parsed)
        case "unix":
            return _unix_url(parsed)
        case _:
            return Wrong("has a scheme that is not known", _CACHE_URL)


def vault_url(text: str) -> Wrong | None:
    """Where a vault is: never shown, keys may stand in it."""
    parsed = _split(text)
    if parsed is None or parsed.query or parsed.fragment:
        return Wrong(_NO_VAULT_URL, _VAULT_URL)
    if "@" in parsed.netloc:
        return _NO_KEYS
    match parsed.scheme:
        case "file":
            return _file_url(parsed)
        case "s3":
            return _s3_url(parsed)
        case _:
            return Wrong("has a scheme that is not known", _VAULT_URL)


def endpoint_url(text: str) -> Wrong | None:
    """An S3 server other than Amazon's: never shown, keys may stand in it."""
    parsed = _split(text)
    if parsed is None or parsed.scheme not in {"http", "https"} or not parsed.hostname:
        return Wrong("is not the URL of a server", _ENDPOINT)
    if "@" in parsed.netloc:
        return _NO_KEYS
    if parsed.path not in {"", "/"} or parsed.query or parsed.fragment:
        return Wrong("goes on after the server", _ENDPOINT)
    return None


def region(text: str) -> Wrong | None:
    """The name of an S3 region."""
    return None if NAME.fullmatch(text) else Wrong("is not a region", 'Allowed: as "eu-west-3".')


def storage_class(text: str) -> Wrong | None:
    """A storage class whose objects can be read at once; servers have names of their own."""
    if text in {"GLACIER", "DEEP_ARCHIVE"}:
        return Wrong(
            f'is "{text}", an archive whose objects cannot be read for hours',
            "A backup there could be neither verified nor restored when it is needed. GLACIER_IR "
            "is as cheap as it gets; or let a lifecycle rule move what is old.",
        )
    if _CLASS.fullmatch(text):
        return None
    return Wrong(f'is "{text}"', 'Allowed: a name in capitals, as "STANDARD_IA".')


def kms_key(text: str) -> Wrong | None:
    """A key of a key management service: an id, an alias or an ARN."""
    return None if _KMS_KEY.fullmatch(text) else Wrong("is not the name of a key", _KMS)


def timezone(text: str) -> Wrong | None:
    """A time zone that this host's IANA database has (A4)."""
    return next((told(unfit) for unfit in zone_unfit(text)), None)


def window(text: str) -> Wrong | None:
    """One daily window: its form and its length (A4); overlaps are told elsewhere."""
    unfit = window_unfit(text)
    return told(unfit) if unfit is not None else None


def told(unfit: Unfit) -> Wrong:
    """What is wrong with a policy, as it is told of a file."""
    meant = f"Did you mean {unfit.meant}? " if unfit.meant else ""
    return Wrong(unfit.wrong, f"{meant}Allowed: {unfit.allowed}.")


def bandwidth(text: str) -> Wrong | None:
    """So many bytes per second, or no limit (V7)."""
    try:
        rate(text)
    except BadRate as error:
        return Wrong(str(error), f"Allowed: {RATE_ALLOWED}.")
    return None


def spool_size(text: str) -> Wrong | None:
    """How much the spool may hold: nothing at all, or enough to be of use."""
    size = size_bytes(text)
    if size is None:
        return Wrong(f'is "{text}"', f"Allowed: {ALLOWED}.")
    if 0 < size < SMALLEST_SPOOL_BYTES:
        return Wrong(f'is "{text}", which is too little', 'Allowed: "64MiB" or more; or "0".')
    return None


def import_size(text: str) -> Wrong | None:
    """How large an imported RDB may be."""
    if not size_bytes(text):
        return Wrong(f'is "{text}"', 'Allowed: a size above 0, as "8GiB" or "500MB".')
    return None


def recipient(text: str) -> Wrong | None:
    """An X25519 recipient of age; not shown: the secret half may stand there by mistake."""
    if text.upper().startswith("AGE-SECRET-KEY-"):
        return Wrong(
            "is an identity, which is secret and does not belong in this file (it is not shown)",
            "Write its recipient here (`age-keygen -y FILE` prints it). Whoever could read this "
            "file may have the key: make a new one.",
        )
    if text.startswith(("ssh-", "ecdsa-")):
        return Wrong("is an SSH key, which is not used for encryption here", _RECIPIENT)
    try:
        prefix, key = decode(text)
    except Bech32Error as error:
        return Wrong(f"is not a recipient: {error}", _RECIPIENT)
    if prefix.startswith("age1"):
        return Wrong("is for a plugin of age or of a newer kind, not used here", _RECIPIENT)
    if prefix != "age" or len(key) != 32 or text != text.lower():
        return Wrong("is not a recipient", _RECIPIENT)
    return None


def _split(text: str) -> SplitResult | None:
    """The parts of a URL, or None; errors of `urlsplit` would show what stands in it."""
    try:
        parsed = urlsplit(text)
        parsed.port  # noqa: B018 - it is checked when it is asked for
    except ValueError:
        return None
    return parsed if parsed.scheme and text.isprintable() and " " not in text else None


def _tcp_url(parsed: SplitResult) -> Wrong | None:
    if not parsed.hostname or parsed.port == 0:
        return Wrong("names no host or no port", _CACHE_URL)
    if parsed.path not in {"", "/"}:
        return Wrong(
            "names a database, but a backup always holds all of them",
            "Leave out what stands after the port.",
        )
    if parsed.query or parsed.fragment:
        return Wrong("goes on after the port", _CACHE_URL)
    return _user(parsed.username or "-")


def _unix_url(parsed: SplitResult) -> Wrong | None:
    query = parse_qs(parsed.query, keep_blank_values=True)
    if parsed.netloc or parsed.fragment or query.keys() - {"user"}:
        return Wrong("is not the URL of a Unix socket", _CACHE_URL)
    return socket_path(unquote(parsed.path)) or _user(query.get("user", ["-"])[-1])


def _user(quoted: str) -> Wrong | None:
    """The name that a cache is to know us by, as it stands in a URL."""
    user = unquote(quoted)
    if user and user.isprintable() and " " not in user:
        return None
    return Wrong("has a user without a name, or with a space in it", _CACHE_URL)


def _file_url(parsed: SplitResult) -> Wrong | None:
    if parsed.netloc:
        return Wrong("names a host", "Allowed: file:///absolute/path, with three slashes.")
    if unquote(parsed.path).strip("/") == "":
        return Wrong("is the root folder", "Allowed: a folder of its own, file:///absolute/path.")
    return absolute_path(unquote(parsed.path))


def _s3_url(parsed: SplitResult) -> Wrong | None:
    if not _BUCKET.fullmatch(parsed.netloc):
        return Wrong("has no valid bucket name", _VAULT_URL)
    parts = parsed.path.strip("/").split("/")
    if parts == [""] or all(_PREFIX_PART.fullmatch(part) for part in parts):
        return None
    return Wrong(
        "has a prefix that is not plain",
        "Allowed: letters, digits, '_', '=', '.', '-' in parts divided by '/', none a dot first.",
    )


def export_url(text: str) -> Wrong | None:
    """Where exports go: never shown, keys may stand in it."""
    wrong = vault_url(text)
    if wrong is not None and wrong.wrong == _NO_VAULT_URL:
        return Wrong("is not the URL of a place to export to", wrong.allowed)
    return wrong


OF_EXPORTS: Mapping[str, Rule] = {
    "exports.*": name,
    "exports.*.url": export_url,
    "exports.*.endpoint_url": endpoint_url,
    "exports.*.region": region,
    "exports.*.access_key_id_env": variable,
    "exports.*.access_key_id_file": absolute_path,
    "exports.*.secret_access_key_env": variable,
    "exports.*.secret_access_key_file": absolute_path,
    "exports.*.session_token_env": variable,
    "exports.*.session_token_file": absolute_path,
    "exports.*.tls_ca_file": absolute_path,
    "exports.*.sse_kms_key_id": kms_key,
}
TEXTS: Mapping[str, Rule] = {
    "daemon.socket": socket_path,
    "daemon.data_dir": absolute_path,
    "daemon.bandwidth": bandwidth,
    "roles.admin": role,
    "roles.operator": role,
    "roles.viewer": role,
    "vaults.*": name,
    "vaults.*.url": vault_url,
    "vaults.*.recipients": recipient,
    "vaults.*.identity_file": absolute_path,
    "vaults.*.endpoint_url": endpoint_url,
    "vaults.*.region": region,
    "vaults.*.access_key_id_env": variable,
    "vaults.*.access_key_id_file": absolute_path,
    "vaults.*.secret_access_key_env": variable,
    "vaults.*.secret_access_key_file": absolute_path,
    "vaults.*.session_token_env": variable,
    "vaults.*.session_token_file": absolute_path,
    "vaults.*.tls_ca_file": absolute_path,
    "vaults.*.sse_kms_key_id": kms_key,
    "vaults.*.storage_class": storage_class,
    "restore.bind": address,
    "restore.advertise": host,
    "restore.tls_cert_file": absolute_path,
    "restore.tls_key_file": absolute_path,
    "restore.tls_ca_file": absolute_path,
    "spool.directory": absolute_path,
    "spool.max_bytes": spool_size,
    "imports.max_bytes": import_size,
    "caches.*": name,
    "caches.*.url": cache_url,
    "caches.*.password_file": absolute_path,
    "caches.*.password_env": variable,
    "caches.*.policy.timezone": timezone,
    "caches.*.policy.windows": window,
    "caches.*.tls_ca_file": absolute_path,
    "caches.*.tls_cert_file": absolute_path,
    "caches.*.tls_key_file": absolute_path,
    "caches.*.tls_server_name": server_name,
    "caches.*.bandwidth": bandwidth,
    **OF_EXPORTS,
    **OF_PRICES,
}
"""The rule of each text; an element of a list has its list's."""

LATER: Mapping[str, str] = {}
"""Settings that a later version will have: refused by name, never silently accepted."""
