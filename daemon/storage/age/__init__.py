"""The age file format, version 1, for X25519 recipients: https://age-encryption.org/v1."""

from daemon.storage.age.errors import AgeError, NoIdentityFits
from daemon.storage.age.keys import Identity, IdentityError, identities, public_key
from daemon.storage.age.stream import Decryption, Encryption

__all__ = [
    "AgeError",
    "Decryption",
    "Encryption",
    "Identity",
    "IdentityError",
    "NoIdentityFits",
    "identities",
    "public_key",
]
