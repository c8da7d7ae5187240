"""The socket API: HTTP with JSON on a Unix socket, for peers whose credentials allow it."""

from daemon.api.doorstep import listening
from daemon.api.farewell import too_early, too_late, turn_away_all, turning_away
from daemon.api.peer import Peer
from daemon.api.roles import Access, Roles, access_for
from daemon.api.scrape import ScrapePort
from daemon.api.seams import ExportPlace, Outside, Plain, Planner, Prober
from daemon.api.server import Limits, serve
from daemon.api.vitals import vital_lines

__all__ = [
    "Access",
    "ExportPlace",
    "Limits",
    "Outside",
    "Peer",
    "Plain",
    "Planner",
    "Prober",
    "Roles",
    "ScrapePort",
    "access_for",
    "listening",
    "serve",
    "too_early",
    "too_late",
    "turn_away_all",
    "turning_away",
    "vital_lines",
]
