"""Months as people write them, and which of them a log can be asked about. Pure."""

import re
from datetime import datetime

from daemon.errors import BadRequest, NotFound
from daemon.near import asked as near_miss
from projections.usage import month_of, month_text

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_SLIPS = (
    re.compile(r"(?P<year>[0-9]{4})[-/._ ]?(?P<month>0?[1-9]|1[0-2])([-/._ ][0-9]{1,2})?"),
    re.compile(r"([0-9]{1,2}[-/._ ])?(?P<month>0?[1-9]|1[0-2])[-/._ ](?P<year>[0-9]{4})"),
)
_ALLOWED = 'Allowed: YYYY-MM, as "2026-03"; months are those of UTC.'


def month_asked(text: str | None, now: datetime, born_at: datetime | None) -> int:
    """The month that was asked for, else the running one.

    Raises `BadRequest` for what is no month or is yet to come, `NotFound` for one before the log.
    """
    running, first = month_of(now), month_of(born_at or now)
    if text is None:
        return running
    found = _MONTH.fullmatch(text)
    if found is None:
        raise BadRequest("month", f"{text!r} is not a month.", f"{_meant(text)}{_ALLOWED}")
    month = int(found[1]) * 12 + int(found[2]) - 1
    if month > running:
        raise BadRequest(
            "month-to-come",
            f"The month {text} has not begun: it is {now:%Y-%m-%d %H:%M:%SZ}.",
            f"`valkeep usage` forecasts the end of the running month, {month_text(running)}.",
        )
    if month < first:
        born = f"{born_at or now:%Y-%m-%d %H:%M:%SZ}"
        raise NotFound(
            "month-before-log",
            f"Nothing is known of {text}: this log began at {born}.",
            f"The first month there is: {month_text(first)}.",
        )
    return month


def _meant(text: str) -> str:
    for slip in _SLIPS:
        if found := slip.fullmatch(text.strip()):
            month = f"{found['year']}-{int(found['month']):02}"
            return f"{near_miss(month)} "
    return ""
