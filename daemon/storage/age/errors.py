"""What can be wrong with an encrypted file; no message holds anything of a key."""


class AgeError(Exception):
    """The bytes are not one whole age file; the text says why."""


class NoIdentityFits(AgeError):
    """The file is encrypted, and to others."""

    def __init__(self) -> None:
        super().__init__("none of the identities is for any of its recipients")
