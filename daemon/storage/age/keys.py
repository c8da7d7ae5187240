"""Recipients and identities: public and secret X25519 keys as age writes them.

Knows their texts only. Where identities are kept is the business of others; nothing here
shows one, neither in an error nor in a repr.
"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from daemon.bech32 import Bech32Error, decode, encode

KEY_BYTES = 32
_RECIPIENT = "age"
_IDENTITY = "age-secret-key-"
_OTHER_KINDS = (
    ("age-plugin-", "for a plugin of age, which cannot be used here"),
    ("age-secret-key-pq-", "of age's post-quantum kind, which cannot be used here yet"),
    ("-----begin age", "encrypted itself, and nobody is here to be asked for its passphrase"),
    ("age-encryption.org/", "encrypted itself, and nobody is here to be asked for its passphrase"),
    ("-----begin", "an SSH key or a certificate; only age's own (X25519) identities are used"),
    ("age1", "a recipient, which is the public half"),
)


class IdentityError(Exception):
    """A text that holds no usable identity; the message names the line and shows nothing."""


class Identity:
    """A secret key. Its `recipient` is the public half and may be shown."""

    def __init__(self, secret: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.public = raw_public(self._key)
        self.recipient = encode(_RECIPIENT, self.public)

    @property
    def key(self) -> X25519PrivateKey:
        """For unwrapping; it shows nothing of itself either."""
        return self._key

    def __repr__(self) -> str:
        return f"Identity(of {self.recipient})"


def public_key(recipient: str) -> bytes:
    """The key in an ``age1…`` text; `ValueError` for any other kind or a slip."""
    prefix, key = decode(recipient)
    if prefix != _RECIPIENT or len(key) != KEY_BYTES:
        raise ValueError("not an X25519 recipient of age")
    return key


def raw_public(key: X25519PrivateKey) -> bytes:
    """The public half as 32 bytes."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def identities(text: str) -> Sequence[Identity]:
    """All identities of a file as `age-keygen` writes it: one a line, ``#`` for comments.

    Raises `IdentityError` for any line that is something else, and for a text without any.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            found.append(_identity(line.strip(), number))
    if not found:
        raise IdentityError("holds no identity")
    return found


def _identity(line: str, number: int) -> Identity:
    for beginning, what in _OTHER_KINDS:
        if line.lower().startswith(beginning):
            raise IdentityError(f"has in line {number} something that is {what}")
    try:
        prefix, secret = decode(line)
    except Bech32Error as error:
        raise IdentityError(f"has in line {number} no identity: {error}") from None
    if prefix != _IDENTITY or len(secret) != KEY_BYTES:
        raise IdentityError(f"has in line {number} no X25519 identity of age")
    return Identity(secret)
