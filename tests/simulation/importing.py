"""What clients do with imports. Knows commands only."""

from daemon.commands import OpenImport, RequestImport
from tests.simulation.stories import ask
from tests.simulation.world import Life, Script
from tests.support.samples import add_cache

SOURCE = "s3://team/orders.rdb"


async def imported(life: Life) -> None:
    """A cache is added, and gets a backup that somebody brought."""
    await ask(life, add_cache("orders"))
    await ask(life, RequestImport("orders", SOURCE, "one"))


async def sent(life: Life) -> None:
    """Somebody sends an RDB over the socket."""
    await ask(life, add_cache("orders"))
    await ask(life, OpenImport("orders", "standard input", "one"))


IMPORTED: dict[str, Script] = {
    "imported": imported,
    "sent": sent,
}
