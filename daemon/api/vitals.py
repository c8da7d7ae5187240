"""Every verdict there is: what the log says, and what was measured around it.

The one place where `check`, `status` and the metrics get their verdicts from.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from daemon.answers.standing import Vitals
from daemon.api.health import judged
from daemon.api.seams import Outside
from daemon.api.views import Moment
from events.facts import CacheName, VaultName
from projections.checks import Line, ordered
from projections.host_checks import (
    not_taken_over,
    port_lines,
    room_lines,
    unmeasured,
    vault_room,
    vault_silent,
)
from projections.state import State


class Judgement(Struct, frozen=True):
    """The verdicts, worst first, and what was measured for them, if anybody measures."""

    lines: tuple[Line, ...]
    vitals: Vitals | None


async def judgement(outside: Outside, moment: Moment, only: CacheName | None = None) -> Judgement:
    """Measure, and judge all caches or one, and the installation."""
    vitals = await outside.pulse()
    lines = await judged(
        moment, outside.ledger.trouble, only, vaults=outside.vaults, copies=outside.log_copies()
    )
    measured = tuple(vital_lines(moment.state, outside.vaults, vitals)) if vitals else ()
    return Judgement(ordered((*lines, *measured)) if measured else lines, vitals)


def vital_lines(state: State, urls: Mapping[VaultName, str], vitals: Vitals) -> Iterator[Line]:
    """A line for each thing that is not as it should be."""
    host = vitals.host
    if host.unmeasured:
        yield unmeasured(host.data_dir, why=host.unmeasured)
    yield from room_lines(host.data_dir, host.free_bytes)
    yield from not_taken_over(host.configuration)
    for name, reach in sorted(vitals.vaults.items()):
        vault = VaultName(name)
        if reach.failure is not None:
            yield from vault_silent(state, urls, vault, reach.failure)
        yield from vault_room(vault, reach.free_bytes)
    if host.metrics is not None:
        yield from port_lines(host.metrics.listen, host.metrics.failure)
