"""What is asked of imports before the ledger decides: whether there is such a cache and entry.

The entries are the configuration's, which no decision knows.
"""

from daemon import near
from daemon.api.find import cache_named
from daemon.api.seams import Outside
from daemon.commands import RequestImport
from daemon.errors import NotFound


def check_import(outside: Outside, request: RequestImport) -> None:
    """Refuse a name that no cache and no ``[exports]`` entry has, with the nearest one."""
    cache_named(outside.ledger.state, request.cache)
    name, slash, _ = request.source.partition("/")
    known = sorted(outside.entries())
    if "://" in request.source or not slash or not name or name == "." or name in known:
        return
    like = near.nearest(name, known)
    hint = f"There are: {', '.join(known) or 'none'}."
    if like is not None:
        hint = near.asked(f"{like}/{request.source.partition('/')[2]}")
    raise NotFound(
        "unknown-entry",
        f"There is no file {request.source}, and no [exports.{name}] in the configuration.",
        f"{hint} Other sources are s3://BUCKET/KEY, file:///PATH, the path of a file, and -.",
    )
