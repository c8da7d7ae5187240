"""`valkeep check` as an answer: every rule's verdict on the installation and its caches."""

from msgspec import Struct

from daemon.answers.check import Checked, CheckLine
from daemon.api.asked import Asked
from daemon.api.find import cache_named
from daemon.api.queries import moment_of
from daemon.api.vitals import judgement
from projections.checks import Line, worst


class CheckQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache`: of this one and the installation only."""

    cache: str | None = None


async def check(asked: Asked) -> Checked:
    """Every rule's verdict, worst first."""
    moment, name = moment_of(asked), asked.queried(CheckQuery).cache
    only = None if name is None else cache_named(moment.state, name).name
    lines = (await judgement(asked.outside, moment, only)).lines
    return Checked(level=worst(lines), lines=tuple(map(check_line, lines)), now=moment.now)


def check_line(line: Line) -> CheckLine:
    """A verdict as it is answered."""
    return CheckLine(
        level=line.level,
        rule=line.rule,
        message=line.message,
        cache=line.cache,
        hint=line.hint,
        code=line.code,
    )
