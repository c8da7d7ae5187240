"""The log's copies in the vaults: made, compared with the log, and brought back."""

from daemon.actors.history.keeper import Clearance, Keeper, Standing
from daemon.actors.history.recoverer import Recovered, Recoverer, Wish
from daemon.actors.history.seams import Outside, Rebuilding
from daemon.actors.history.survey import Plan, VaultSurvey

__all__ = [
    "Clearance",
    "Keeper",
    "Outside",
    "Plan",
    "Rebuilding",
    "Recovered",
    "Recoverer",
    "Standing",
    "VaultSurvey",
    "Wish",
]
