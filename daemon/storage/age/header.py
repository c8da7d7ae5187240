"""The header of an age file: the file's own key, wrapped once for each recipient.

As in the specification (c2sp.org/age), for X25519 stanzas; stanzas of other kinds are passed
over when reading. Strict: whatever is not written exactly so is refused.
"""

import binascii
import hmac
import re
from collections.abc import Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from daemon.storage.age.errors import AgeError, NoIdentityFits
from daemon.storage.age.keys import KEY_BYTES, Identity, raw_public

FILE_KEY_BYTES = 16
LONGEST_BYTES = 1 << 20
"""No header of ours has more than a thousandth of it; a longer one is hostile."""
_VERSION = b"age-encryption.org/v1\n"
_LINE = 64
_WRAPPED_BYTES = FILE_KEY_BYTES + 16
_ARGUMENTS = re.compile(rb"-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)")
_BODY = re.compile(rb"[A-Za-z0-9+/]{0,64}")
_MAC = re.compile(rb"--- ([A-Za-z0-9+/]{43})")
_ZERO_NONCE = bytes(12)  # each wrapping key is used once


class Stanza(Struct, frozen=True):
    """One recipient's share of the header; `arguments` begin with its kind."""

    arguments: tuple[bytes, ...]
    body: bytes


class Header(Struct, frozen=True):
    """A header in its parts; `signed` are the bytes that the MAC is of."""

    stanzas: tuple[Stanza, ...]
    signed: bytes
    mac: bytes


def derived(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256, 32 bytes."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def written(file_key: bytes, shares: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A header that wraps the file's key; a share is a public key and 32 fresh random bytes.

    Raises `AgeError` for a public key that has no secret half.
    """
    lines = [_VERSION.rstrip(b"\n")]
    for public, ephemeral in shares:
        lines += _wrapped(file_key, public=public, ephemeral=ephemeral)
    signed = b"\n".join([*lines, b"---"])
    return signed + b" " + _text(_mac(file_key, signed=signed)) + b"\n"


def end_of(data: bytes) -> int | None:
    """Where a header that begins the data ends, None while it goes on.

    Raises `AgeError` as soon as it cannot be one.
    """
    if data[: len(_VERSION)] != _VERSION[: len(data)]:
        raise AgeError("it does not begin as an age file")
    dashes = data.find(b"\n---", 0, LONGEST_BYTES)
    end = data.find(b"\n", dashes + 1, LONGEST_BYTES) if dashes >= 0 else -1
    if end < 0 and len(data) >= LONGEST_BYTES:
        raise AgeError("its header is too long")
    return end + 1 if end >= 0 else None


def parsed(data: bytes) -> Header:
    """A whole header; `AgeError` for one that is not exactly as it must be."""
    *lines, last, nothing = data.removeprefix(_VERSION).split(b"\n")
    mac = _MAC.fullmatch(last)
    if mac is None or nothing:
        raise AgeError("its header does not end as it must")
    stanzas = tuple(_stanzas(lines))
    if not stanzas:
        raise AgeError("its header names no recipient")
    return Header(stanzas, data[: -len(last) - 1] + b"---", _bytes(mac[1]))


def unwrapped(header: Header, identities: Sequence[Identity]) -> bytes:
    """The file's key, by the first identity that fits, and only if the header is untouched."""
    if len(header.stanzas) > 1 and any(s.arguments[0] == b"scrypt" for s in header.stanzas):
        raise AgeError("its header has a passphrase beside other recipients")
    for stanza in header.stanzas:
        if stanza.arguments[0] != b"X25519":
            continue
        for identity in identities:
            file_key = _tried(stanza, identity)
            if file_key is None:
                continue
            if not hmac.compare_digest(_mac(file_key, signed=header.signed), header.mac):
                raise AgeError("its header was changed: the MAC is wrong")
            return file_key
    raise NoIdentityFits


def _wrapped(file_key: bytes, *, public: bytes, ephemeral: bytes) -> Iterator[bytes]:
    key = X25519PrivateKey.from_private_bytes(ephemeral)
    share = raw_public(key)
    wrapping = _wrapping(key, other=public, salt=share + public)
    yield b"-> X25519 " + _text(share)
    yield _text(ChaCha20Poly1305(wrapping).encrypt(_ZERO_NONCE, file_key, None))


def _tried(stanza: Stanza, identity: Identity) -> bytes | None:
    """The file's key, if this stanza is for this identity."""
    if len(stanza.arguments) != 2 or len(stanza.body) != _WRAPPED_BYTES:
        raise AgeError("its header has an X25519 recipient that is none")
    share = _bytes(stanza.arguments[1])
    if len(share) != KEY_BYTES:
        raise AgeError("its header has an X25519 recipient that is none")
    wrapping = _wrapping(identity.key, other=share, salt=share + identity.public)
    try:
        return ChaCha20Poly1305(wrapping).decrypt(_ZERO_NONCE, stanza.body, None)
    except InvalidTag:
        return None


def _wrapping(key: X25519PrivateKey, *, other: bytes, salt: bytes) -> bytes:
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:  # a point of low order: the shared secret would be known to all
        raise AgeError("a public key in it is none") from None
    return derived(shared, salt=salt, info=b"age-encryption.org/v1/X25519")


def _mac(file_key: bytes, *, signed: bytes) -> bytes:
    return hmac.digest(derived(file_key, salt=b"", info=b"header"), signed, "sha256")


def _stanzas(lines: Sequence[bytes]) -> Iterator[Stanza]:
    """Each has a line of arguments and a body whose last line is shorter than the others."""
    at = 0
    while at < len(lines):
        arguments = _ARGUMENTS.fullmatch(lines[at])
        end = at + 1
        while end < len(lines) and len(lines[end]) == _LINE:
            end += 1
        body = lines[at + 1 : end + 1]
        if arguments is None or end >= len(lines) or not all(map(_BODY.fullmatch, body)):
            raise AgeError("its header has a line that cannot be there")
        yield Stanza(tuple(arguments[1].split(b" ")), _bytes(b"".join(body)))
        at = end + 1


def _text(data: bytes) -> bytes:
    """Base64 without padding; nothing that we write needs a second line."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    """Base64 as `_text` writes it, and no other way of writing the same."""
    try:
        data = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        data = b""
    if _text(data) != text:
        raise AgeError("its header has base64 that is not canonical")
    return data
