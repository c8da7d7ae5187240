"""Importing over the socket: who may, and what is refused before a byte is taken."""

import os

import pytest
from anyio import to_thread

from daemon.answers import Accepted, BackupDetail
from daemon.api import Access
from daemon.client import Client
from daemon.commands import RequestImport
from daemon.errors import Forbidden, NotFound, Rejected, ValkeepError
from tests.support.api import Served, serving
from tests.support.samples import complete, registered

pytestmark = pytest.mark.anyio

OPERATOR = Access(users={os.geteuid(): "operator"}, groups={})


async def send(api: Served, **query: str) -> ValkeepError:
    """The refusal of an upload without an end."""
    client = Client(str(api.path))
    endless = os.open("/dev/zero", os.O_RDONLY)
    try:
        with pytest.raises(ValkeepError) as refused:
            await to_thread.run_sync(client.send, "/v1/imports", query, endless)
    finally:
        os.close(endless)
    return refused.value


async def test_only_admins_import() -> None:
    """DESIGN 8: what comes in from elsewhere is for admins, asked for or sent."""
    async with serving(registered(), access=OPERATOR) as api:
        with pytest.raises(Forbidden):
            await api.post(Accepted, "/v1/commands", RequestImport("orders", "s3://bucket/x"))
        assert isinstance(await send(api, cache="orders", name="one"), Forbidden)


async def test_refused_upload_is_not_read_to_its_end() -> None:
    """A cache that is not there and a name that is taken are told at once, with the nearest."""
    async with serving(registered(), *complete()) as api:
        unknown = await send(api, cache="order", name="one")
        assert isinstance(unknown, NotFound)
        assert "Did you mean 'orders'?" == unknown.hint
        taken = next(iter(api.ledger.state.catalog["orders"].values())).name  # type: ignore[index]
        assert isinstance(await send(api, cache="orders", name=taken), Rejected)
        assert "query" == (await send(api, name="one")).code


async def test_source_is_shown_from_the_beginning() -> None:
    """An import that waits tells where it comes from; an entry that is not there is refused."""
    async with serving(registered()) as api:
        wish = RequestImport("orders", "s3://bucket/x.rdb")
        answer = await api.post(Accepted, "/v1/commands", wish)
        detail = await api.get(BackupDetail, f"/v1/backups/{answer.backup_id}")
        assert wish.source == detail.backup.imported_from
        assert f"import-{answer.backup_id}" == detail.backup.name
        with pytest.raises(NotFound, match=r"no \[exports.house\]"):
            await api.post(Accepted, "/v1/commands", RequestImport("orders", "house/x.rdb"))
