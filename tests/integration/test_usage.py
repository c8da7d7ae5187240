"""Usage of a real daemon: prices from its file, and months that stay what they were (S3)."""

import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from anyio import to_thread

from daemon.answers.usage import UsageMonth
from daemon.commands import DeleteBackup, RemoveCache
from events.facts import VaultName
from events.prices import PricesSet, VaultPrice
from tests.support.api import Printed, typed
from tests.support.daemon import DaemonProcess, directory_vault
from tests.support.poll import until
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

MAIN = VaultName("main")
PRICED = 'price_per_gb_month = "{}"\n[prices]\ncurrency = "EUR"\n'


async def prices(daemon: DaemonProcess) -> list[PricesSet]:
    """All prices that the log knows."""
    return [event for event in await daemon.events() if isinstance(event, PricesSet)]


async def reloaded(daemon: DaemonProcess, config: str, *, refused: bool = False) -> None:
    """Change the file and have it read."""
    daemon.configure(config)
    told = "configuration not reloaded" if refused else "configuration reloaded"
    before = daemon.output().count(told)
    daemon.signal(signal.SIGHUP)

    async def again() -> bool:
        return daemon.output().count(told) > before

    await until(again, "the daemon reads its file")


async def cli(daemon: DaemonProcess, *words: str) -> Printed:
    """Type a command against this daemon."""
    return await to_thread.run_sync(lambda: typed("--socket", str(daemon.socket), *words))


async def test_prices_follow_the_file(daemon: DaemonProcess, vault: Path) -> None:
    """At the start and at each reload other prices are one event, and the same ones none."""
    config = directory_vault(vault)
    daemon.configure(config + PRICED.format("0.0230"))
    await daemon.start()
    await daemon.until(lambda _, event: isinstance(event, PricesSet))
    assert await prices(daemon) == [PricesSet("EUR", {MAIN: VaultPrice("0.023")})]

    await reloaded(daemon, config + PRICED.format("0.02300"))
    await reloaded(daemon, config + PRICED.format("0,5"), refused=True)
    assert 1 == len(await prices(daemon))
    assert "Did you mean '0.5'?" in daemon.output()

    await reloaded(daemon, config + "minimum_days = 30\n" + PRICED.format("0.5"))
    await daemon.kill()
    await daemon.start()
    assert (await prices(daemon))[1:] == [PricesSet("EUR", {MAIN: VaultPrice("0.5", 30)})]

    await reloaded(daemon, config)
    assert (await prices(daemon))[2:] == [PricesSet(None, {})]


async def test_a_month_stays_what_it_was(daemon: DaemonProcess, vault: Path, node: Node) -> None:
    """Deleting, removing the cache, other prices and kill -9 change nothing in a past month."""
    daemon.configure(directory_vault(vault) + PRICED.format("1"))
    await daemon.start()
    await daemon.until(lambda _, event: isinstance(event, PricesSet))
    await daemon.add("orders", url=node.url)
    made = await daemon.backup("orders", name="one")
    began = daemon.clock.now()
    await daemon.travel((began.replace(day=1) + timedelta(days=32)).replace(day=2))
    before = await month(daemon, began)

    (line,) = before.lines
    assert (made.stored_bytes, "manual", "main") == (line.stored_bytes, line.kind, line.vault)
    assert line.cost_exact == line.gb_months_exact != "0"
    assert before.complete

    await daemon.command(DeleteBackup("orders/one"))
    await daemon.settled()
    await daemon.command(RemoveCache("orders"))
    await reloaded(daemon, directory_vault(vault) + PRICED.format("2"))
    await daemon.kill()
    await daemon.start()
    running = await month(daemon, daemon.clock.now())
    printed = await cli(daemon, "usage", "--month", f"{began:%Y-%m}", "--cache", "orders")

    assert before.lines == (await month(daemon, began)).lines
    assert [0] == [one.stored_bytes for one in running.lines]
    assert running.total_cost == running.forecast[0].cost_exact
    assert 0 == printed.code
    assert f"{began:%Y-%m} of orders, complete" == printed.out.splitlines()[0]


async def month(daemon: DaemonProcess, at: datetime) -> UsageMonth:
    """The usage of the month of an instant."""
    return await daemon.get(UsageMonth, "usage", query={"month": f"{at:%Y-%m}"})
