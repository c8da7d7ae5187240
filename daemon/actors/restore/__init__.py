"""Restores into running caches: planning them, carrying them out, undoing them."""

from daemon.actors.restore.actor import Outside, RestoreActor
from daemon.actors.restore.glance import Shelf
from daemon.actors.restore.keys import KeysRestore
from daemon.actors.restore.keys_visit import KeysVisits, KeysWork
from daemon.actors.restore.loading import Workshop
from daemon.actors.restore.planning import Listening, Planning
from daemon.actors.restore.relief import Relief
from daemon.actors.restore.undo import UndoActor

__all__ = [
    "KeysRestore",
    "KeysVisits",
    "KeysWork",
    "Listening",
    "Outside",
    "Planning",
    "Relief",
    "RestoreActor",
    "Shelf",
    "UndoActor",
    "Workshop",
]
