"""The drawer for the state file in a simulated world.

What is put there is there at once, as a rename is; the way there has taken its time before.
"""

from collections.abc import Iterable
from io import BytesIO
from typing import BinaryIO

from daemon.frozen import Freezer, Often
from daemon.ledger import Ledger
from tests.simulation.far import Far
from tests.simulation.ports import inline

EACH = Often(records=1, at_end=1, rest_seconds=0.01)
"""After every batch of records, almost."""


class FarDrawer:
    """A `Drawer` on the far side."""

    def __init__(self, far: Far) -> None:
        self._far = far

    def open(self) -> BinaryIO | None:
        """See `Drawer.open`."""
        return None if self._far.frozen is None else BytesIO(self._far.frozen)

    def put(self, lines: Iterable[bytes]) -> None:
        """See `Drawer.put`."""
        self._far.frozen = b"".join(lines)

    def clear(self) -> None:
        """See `Drawer.clear`."""
        self._far.frozen = None


def freezer_for(often: Often | None, ledger: Ledger, far: Far) -> Freezer | None:
    """What keeps a ledger's state so often; None for never."""
    if often is None:
        return None
    return Freezer(ledger, FarDrawer(far), inline, lambda: "code", often)
