"""The base of every value that events carry; nothing else."""

from msgspec import Struct


class Fact(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Immutable, and strict when it is read back."""
