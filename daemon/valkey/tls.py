"""TLS settings of one connection, and the contexts that are made of their files.

Files are read again each time a context is made, so that a rotated certificate is used at
the next connection. Certificates are always verified and there is no switch against it; whose
they are and what a failed handshake means is said in `tls_refusal`.
"""

import os
import ssl
import stat
from collections.abc import Callable

from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient
from events.facts import CacheSettings

OTHERS = 0o007
_READABLE = "the daemon's user must be able to read it; check path, owner and mode"
_PEM = "it must be PEM text, as `openssl` writes it: -----BEGIN …"


class Tls(Struct, frozen=True):
    """Where the authorities, our certificate and its key are kept, by absolute path.

    Without `ca_file` a client trusts what the system trusts. `server_name` is what the server's
    certificate must be for, where that is not the host in the URL.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None


def of_cache(settings: CacheSettings) -> Tls:
    """What a cache's settings say."""
    return Tls(
        settings.tls_ca_file,
        settings.tls_cert_file,
        settings.tls_key_file,
        settings.tls_server_name,
    )


def client_context(tls: Tls) -> ssl.SSLContext:
    """For connecting to a server, whose certificate and name are verified.

    Raises `Permanent("tls-file")` for a file that cannot be used, `Transient("tls-rotation")`
    for a key that does not belong to its certificate.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca_file is None:
        context.load_default_certs()
    else:
        _trust(context, tls.ca_file)
    if tls.cert_file is not None and tls.key_file is not None:
        _identify(context, cert_file=tls.cert_file, key_file=tls.key_file)
    return context


def server_context(tls: Tls) -> ssl.SSLContext:
    """For being connected to; with `ca_file` whoever comes must have a certificate of its.

    Raises as `client_context` does.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # Nobody comes back: each connection is a restore of its own.
    if tls.cert_file is not None and tls.key_file is not None:
        _identify(context, cert_file=tls.cert_file, key_file=tls.key_file)
    if tls.ca_file is not None:
        _trust(context, tls.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _trust(context: ssl.SSLContext, ca_file: str) -> None:
    _look(ca_file, setting="tls_ca_file")
    try:
        context.load_verify_locations(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        why = "it holds no certificate"
        raise _unusable(ca_file, setting="tls_ca_file", why=why, hint=_PEM) from error


def _identify(context: ssl.SSLContext, *, cert_file: str, key_file: str) -> None:
    _look(cert_file, setting="tls_cert_file")
    _look(key_file, setting="tls_key_file", check=_kept_close)
    try:
        context.load_cert_chain(cert_file, key_file, password=_passphrase(key_file))
    except ssl.SSLError as error:
        raise _no_pair(error, cert_file=cert_file, key_file=key_file) from error
    except OSError as error:  # Gone since we looked.
        why = error.strerror or "I/O error"
        raise _unusable(cert_file, setting="tls_cert_file", why=why) from error


def _no_pair(error: ssl.SSLError, *, cert_file: str, key_file: str) -> Failed:
    if error.reason == "KEY_VALUES_MISMATCH":
        return Transient(
            "tls-rotation",
            f"the key in {key_file} does not belong to the certificate in {cert_file}",
            "while both are being replaced this passes; else put the pair in place",
        )
    both, why = f"{cert_file} with {key_file}", "they are no certificate and its key"
    return _unusable(both, setting="tls_cert_file, tls_key_file", why=why, hint=_PEM)


def _look(
    path: str, *, setting: str, check: Callable[[os.stat_result, str], None] | None = None
) -> None:
    """That the file can be read; OpenSSL would not say which of two it was, nor why."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, setting=setting, why=error.strerror or "I/O error") from error
    try:
        found = os.fstat(handle)
    finally:
        os.close(handle)
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, setting=setting, why="it is no file")
    if check is not None:
        check(found, path)


def _kept_close(found: os.stat_result, path: str) -> None:
    if found.st_mode & OTHERS:
        raise Permanent(
            "tls-key-open",
            f"the key {path} is open to every user of this host "
            f"(mode {stat.S_IMODE(found.st_mode):04o})",
            f"chmod o= {path}; and if others may have read it, make a new key",
        )


def _passphrase(key_file: str) -> Callable[[], str]:
    """What OpenSSL is to call for an encrypted key, instead of asking a terminal."""

    def refuse() -> str:
        raise Permanent(
            "tls-file",
            f"the key {key_file} is encrypted, and there is nobody to type its passphrase",
            f"openssl pkey -in {key_file} -out NEW writes it without one; chmod 600 NEW",
        )

    return refuse


def _unusable(path: str, *, setting: str, why: str, hint: str = _READABLE) -> Permanent:
    return Permanent("tls-file", f"{path} ({setting}) cannot be used: {why}", hint)
