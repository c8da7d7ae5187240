"""What takes backups out, as the API asks for it."""

from daemon.api.asked import Asked
from daemon.api.seams import Exporter
from daemon.errors import NotFound


def exporter_of(asked: Asked) -> Exporter:
    """What takes backups out."""
    if asked.outside.exporter is None:
        raise NotFound("exports", "Nothing can be exported here.", "Ask a running daemon.")
    return asked.outside.exporter
