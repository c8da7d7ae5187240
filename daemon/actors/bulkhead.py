"""The bulkhead: one job's bug must not sink the others.

The one place below the socket that catches what nobody foresaw. It is told in the text log,
with the traceback; what it means for the job is decided by whoever runs it.
"""

from collections.abc import Awaitable, Callable

import structlog

from daemon.errors import ValkeepError

log = structlog.get_logger()


async def contained(job: Callable[[], Awaitable[None]], *, work: str) -> Exception | None:
    """Run a job; the bug that ended it, if one did. Errors of ours come through."""
    try:
        await job()
    except ValkeepError:
        raise
    except Exception as bug:
        log.exception("work crashed", work=work)
        return bug
    return None
