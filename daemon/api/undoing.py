"""What `restore undo` would do: the plan of the restore that takes the newest one back.

Nothing is touched and nothing recorded; whether it may be is the ledger's to decide.
"""

import msgspec

from daemon.answers import PlanAnswer, PlanRequest
from daemon.answers.undo import UndoPlan, UndoRequest
from daemon.api import keys
from daemon.api.asked import Asked
from daemon.api.copies import read_from
from daemon.api.queries import moment_of
from daemon.api.undo_view import undoing_named
from daemon.api.views import backup_view, restore_view
from daemon.commands import UndoRestore
from daemon.errors import Rejected
from events.facts import CacheName
from projections.undo import Refusal, keys_back, undoing

_plan = msgspec.json.Decoder(UndoRequest)


async def plan(asked: Asked) -> UndoPlan:
    """The newest restore into a cache, and the plan of taking it back."""
    request = asked.read(_plan.decode)
    outside, moment = asked.outside, moment_of(asked)
    undoing_named(moment.state, request.cache)
    outside.ledger.check(
        UndoRestore(request.cache, vault=request.vault, force=request.force, method=request.method)
    )
    found = undoing(moment.state, CacheName(request.cache))
    if isinstance(found, Refusal):  # The ledger has refused it already, with these words.
        raise Rejected(found.code, found.message, found.hint)
    vault = read_from(outside, found.safety, request.vault)
    target = moment.state.caches[found.restore.target]
    if (request.method or found.restore.method) == "keys":
        wish = keys_back(found.restore.keys)
        wanted = PlanRequest(found.safety.backup_id, target.name, force=request.force, keys=wish)
        planned = await keys.plan(outside, wanted, keys.Place(found.safety, target, vault))
    else:
        planned = await outside.planner.plan(found.safety, target, vault)
    blockers = tuple(
        f.code
        for f in planned.findings
        if f.level == "blocker" and not (f.forcible and f.code in request.force)
    )
    return UndoPlan(
        now=moment.now,
        undoes=restore_view(moment, found.restore),
        plan=PlanAnswer(
            backup=backup_view(moment, found.safety),
            target=found.restore.target,
            plan=planned,
            blockers=blockers,
        ),
        until=found.until,
    )
