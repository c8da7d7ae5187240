"""Recovering, as questions and as a command: `GET` tells what `POST` would do."""

import msgspec
from msgspec import Struct

from daemon.answers.recovery import Recover, Recoverable, RecoveredAnswer
from daemon.api.asked import Asked
from daemon.api.peer import user_name
from daemon.api.seams import Recovering
from daemon.errors import Rejected
from events.envelope import Who

_recover = msgspec.json.Decoder(Recover)


class RecoveryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`vault`: look at this one only."""

    vault: str | None = None


async def look(asked: Asked) -> Recoverable:
    """What the vaults know that the log does not; changes nothing."""
    return await _recovering(asked).look(asked.queried(RecoveryQuery).vault, asked.tell)


async def recover(asked: Asked) -> RecoveredAnswer:
    """Take it over."""
    said = asked.read(_recover.decode)
    user = await asked.outside.offload(user_name, asked.peer.uid)
    who = Who(kind="user", uid=asked.peer.uid, user=user, pid=asked.peer.pid)
    return await _recovering(asked).recover(said, who, asked.tell)


def _recovering(asked: Asked) -> Recovering:
    if asked.outside.recovering is None:
        raise Rejected(
            "no-recovery", "Nothing can be recovered here.", "Ask the daemon that has the vaults."
        )
    return asked.outside.recovering
