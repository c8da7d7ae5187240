"""The plan of a restore by keys, as it is asked for over the socket."""

from msgspec import Struct

from daemon.answers import PlanRequest
from daemon.api.seams import Outside
from daemon.errors import NotFound
from events.facts import RestorePlan, VaultName
from events.moves import KeysWish
from projections.caches import Cache
from projections.catalog import Backup
from projections.keys_plan import Wanted


class Place(Struct, frozen=True):
    """What was named in a request, found."""

    backup: Backup
    target: Cache
    vault: VaultName | None


async def plan(outside: Outside, request: PlanRequest, place: Place) -> RestorePlan:
    """What a restore of these keys would do now; the backup is loaded to count them."""
    if outside.keys_planner is None:
        raise NotFound("method", "Restores by keys are not done here.", "Ask a running daemon.")
    return await outside.keys_planner.plan(
        Wanted(
            backup=place.backup,
            settings=place.target.settings,
            wish=request.keys or KeysWish(),
            safety_backup=request.safety_backup,
            force=request.force,
            vault=place.vault,
        )
    )
