"""The report of a real daemon: backups of a real server, one that cannot be reached, a deletion."""

import pytest
from anyio import to_thread

from daemon.answers.report import CacheReport, Report
from daemon.commands import AddCache, DeleteBackup, RequestBackup
from tests.support.api import Printed, typed
from tests.support.daemon import DaemonProcess
from tests.support.poll import until
from tests.support.servers import Node

pytestmark = pytest.mark.anyio


async def cache(daemon: DaemonProcess, name: str) -> CacheReport:
    """What the report says of one cache now."""
    found = await daemon.get(Report, "report", query={"cache": name})
    return found.caches[0]


async def test_a_page_tells_what_has_happened(daemon: DaemonProcess, node: Node) -> None:
    """Sizes, spans and memory are the engine's own; what failed and what is gone is told as such.

    The page is made by the command line, and again after a kill of the daemon: the log has it all.
    """
    await daemon.start()
    await daemon.add("orders", url=node.url)
    first = await daemon.backup("orders", name="one")
    await daemon.backup("orders", name="two")
    await daemon.command(DeleteBackup(first.backup_id))
    await daemon.command(AddCache(name="away", url="valkey://127.0.0.1:9", probe=False))
    await daemon.command(RequestBackup("away", "never"))

    async def given_up() -> bool:
        return (await cache(daemon, "away")).days[-1].state == "failed"

    await until(given_up, "the backup of a server that is not there is given up")
    orders = await cache(daemon, "orders")

    assert (1, "good", 2) == (orders.living, orders.days[-1].state, orders.days[-1].made)
    gone, there = orders.backups
    assert (False, True) == (gone.there, there.there)
    for made in orders.backups:
        assert made.stored_bytes
        assert made.seconds
        assert made.fork_seconds is not None
        assert made.copy_on_write_bytes is not None

    await daemon.kill()
    await daemon.start()
    printed = await report(daemon, "--html", "-")

    assert 0 == printed.code, printed.err
    html = printed.out
    assert "Not all is well" in html
    assert "backup failed" in html
    assert 2 == len(html.split("<b>Sizes</b>")[2].split("</svg>")[0].split("<circle")) - 1


async def report(daemon: DaemonProcess, *arguments: str) -> Printed:
    """The command, typed."""
    return await to_thread.run_sync(
        lambda: typed("--socket", str(daemon.socket), "report", *arguments)
    )
