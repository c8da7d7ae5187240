"""What a person is shown of an object on its way: read, waiting for room, sent.

Knows the progress board's words, where bytes belong to the present phase. It decides nothing.
"""

from daemon.ports import Progress

FULL = "the spool is full: the vault is slower than the server"
SENDING = "sending from the spool"


class Pace:
    """Follows one object; without a board it does nothing."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._expected_bytes: int | None = None
        self._read_bytes = 0
        self._full = False
        self._sending = False

    def expect(self, total_bytes: int | None) -> None:
        """How many plain bytes the source will give, if it says so."""
        self._expected_bytes = total_bytes

    def read(self, size_bytes: int) -> None:
        """So many more plain bytes have come."""
        self._read_bytes += size_bytes
        if self._progress:
            self._progress.advance(size_bytes)

    def full(self) -> None:
        """The source has to wait; said once, with what is still to be read."""
        if self._progress and not self._full and not self._sending:
            self._full = True
            left = self._expected_bytes and max(0, self._expected_bytes - self._read_bytes)
            self._progress.phase(FULL, left)

    def sending(self, left_bytes: int) -> None:
        """The source has ended, and so many stored bytes are still here."""
        if self._progress:
            self._sending = True
            self._progress.phase(SENDING, left_bytes)

    def sent(self, size_bytes: int) -> None:
        """The vault has taken so many more bytes."""
        if self._progress and self._sending:
            self._progress.advance(size_bytes)
