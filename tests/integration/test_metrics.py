"""Figures of the real daemon, as a monitoring system scrapes them."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.client import Client
from tests.support.daemon import DaemonProcess
from tests.support.servers import Node

pytestmark = pytest.mark.anyio


async def test_a_scrape_tells_of_a_backup(daemon: DaemonProcess, node: Node) -> None:
    """After a backup its size, its duration and the count of backups are there to be read."""
    await daemon.start()
    await daemon.add("orders", url=node.url)
    await daemon.backup("orders", name="one")

    text = Client(str(daemon.socket)).get("/metrics").decode()
    told = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("cache", "orders") == "orders"
    }
    assert told["valkeep_backups_completed_total"] == 1
    assert told["valkeep_last_backup_stored_bytes"] > 0
    assert told["valkeep_last_backup_duration_seconds"] > 0
    assert told["valkeep_log_writable"] == 1
