"""Keys for tests of encryption, good for nothing else, and a second implementation to open with.

`opened` is `pyrage` (rage, in Rust): what Valkeep makes is judged by somebody else's program.
"""

import hashlib

import pyrage

from daemon.storage.age import identities
from daemon.storage.sealing import Identities, Sealing

IDENTITY = "AGE-SECRET-KEY-18LHJFTTZW2MTH8G8DN3QDCQ2DUT444KAXZ5Q5TWEHTXA744FHV0SZ2W0GV"
RECIPIENT = "age1mf4zmulgwvvdwp7dxrhxw0cucrvmx069crlnz23n6fx275qgxg7qfs95rs"
OTHER_IDENTITY = "AGE-SECRET-KEY-1TUEYHP23N7GV489GYZ59DFP4HQPGS8C3HAC5CW3RNN6653SLWX6QJCUUJC"
OTHER_RECIPIENT = "age1m6uta0rf6asf5f85xa8pzq55vpxnqw8d7e8eh4ed4u72at4wsdpq2hg07f"
STRANGER = "AGE-SECRET-KEY-1VF3NDR56D0PR0YALQ8CYHEJQ5V92CVGLTA66ZY34QANRZ5XCRLVQENRU2D"
"""An identity that nothing is encrypted to."""
BOTH = (RECIPIENT, OTHER_RECIPIENT)


class CountedTokens:
    """Tokens that are never the same twice, and the same in every run."""

    def __init__(self) -> None:
        self._given = 0

    def __call__(self, length: int) -> str:
        """See `Ids.token`."""
        self._given += 1
        return hashlib.shake_256(b"%d" % self._given).hexdigest((length + 1) // 2)[:length]


def sealing(*recipients: str) -> Sealing:
    """Encryption to these recipients, or to the usual one."""
    return Sealing(recipients or (RECIPIENT,), CountedTokens())


def held(*texts: str) -> Identities:
    """What a file with these identities holds; the usual one if none is named."""
    return Identities("/etc/valkeep/identity", identities("\n".join(texts or (IDENTITY,))))


def opened(sealed: bytes, identity: str = IDENTITY) -> bytes:
    """The plain bytes of an age file, by another program than ours."""
    plain: bytes = pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(identity)])
    return plain
