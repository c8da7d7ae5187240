"""The state beside the log (L5): so that a daemon with a long history starts at once."""

from daemon.frozen.drawer import Drawer, FileDrawer
from daemon.frozen.freezer import Begun, Freezer, Often

__all__ = ["Begun", "Drawer", "FileDrawer", "Freezer", "Often"]
