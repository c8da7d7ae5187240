"""A log that was replaced by an older copy of itself: the chain is whole, and yet it lies."""

import os
import shutil
from pathlib import Path

import pytest

from daemon.answers import VerdictView
from daemon.errors import Failed
from daemon.valkey.engine import find_engines
from tests.support.daemon import directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.servers import start_node

pytestmark = pytest.mark.anyio


async def test_audit_notices_that_the_log_went_back(nursery: Nursery, tmp_path: Path) -> None:
    """`audit verify` compares the log with what the vault's newest manifest remembers (L3)."""
    engine = (await find_engines(os.defpath))[0]
    async with (
        start_node(engine, tmp_path / "node") as node,
        installation(nursery, directory_vault(tmp_path / "vault")) as daemon,
    ):
        await daemon.start()
        await daemon.add("orders", url=node.url)
        first = await daemon.backup("orders", name="first")
        verdict = await daemon.get(VerdictView, "audit", "verify")
        assert [first.backup_id] == [tip.backup_id for tip in verdict.tips]
        await daemon.stop()
        older = tmp_path / "older.db"
        shutil.copy(daemon.log, older)
        await daemon.start()
        second = await daemon.backup("orders", name="second")
        await daemon.stop()
        shutil.copy(older, daemon.log)
        await daemon.start()

        with pytest.raises(Failed, match=f"went back.*{second.backup_id}") as raised:
            await daemon.get(VerdictView, "audit", "verify")

        assert raised.value.code == "log-set-back"
