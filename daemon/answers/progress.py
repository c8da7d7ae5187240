"""How far running work is, as the daemon answers it."""

from msgspec import Struct


class ProgressView(Struct, frozen=True, omit_defaults=True):
    """How far running work is; bytes of the present phase, which began `phase_seconds` ago."""

    phase: str
    seconds: float
    phase_seconds: float
    moved_bytes: int
    total_bytes: int | None = None
