"""The way of a client's bytes to the attempt that wants them."""

import anyio
import pytest

from daemon.actors.importing.uploads import Upload, Uploads
from daemon.errors import Permanent
from tests.support.samples import B1

pytestmark = pytest.mark.anyio


async def read(upload: Upload) -> bytes:
    """Everything that is sent."""
    data = b""
    while piece := await upload.read():
        data += piece
    return data


async def test_all_that_is_sent_arrives() -> None:
    """Whoever has sent everything stays until it was taken, however little it is."""
    uploads, got = Uploads(), []

    async def attempt() -> None:
        upload = await uploads.take(B1)
        got.append(await read(upload))
        upload.leave()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt)
            with uploads.way(B1) as upload:
                assert await upload.send(b"one ")
                assert await upload.send(b"two")
                await upload.end()
                assert upload.taken
    assert [b"one two"] == got


@pytest.mark.parametrize("why", ["", "No byte has come."])
async def test_client_that_goes_is_no_end(why: str) -> None:
    """A client that went in the middle is told from one that is done, with its reason."""
    upload = Upload()
    assert await upload.send(b"some")
    upload.cut(why)
    assert b"some" == await upload.read()
    with pytest.raises(Permanent, match=why or "connection ended") as cut:
        await upload.read()
    assert "upload-cut" == cut.value.code
    assert "4 bytes" in cut.value.message
    upload.leave()


async def test_attempt_that_leaves_wants_no_more() -> None:
    """A client hears that nobody wants any more, also while it waits for its turn."""
    upload = Upload()
    assert await upload.send(b"one")
    async with anyio.create_task_group() as tasks:
        heard = []

        async def sender() -> None:
            heard.append(await upload.send(b"two"))

        tasks.start_soon(sender)
        await anyio.wait_all_tasks_blocked()
        upload.leave()
    assert [False] == heard
    with anyio.fail_after(5):
        await upload.end()


async def test_client_that_nobody_came_for_leaves_nothing() -> None:
    """A way that no attempt has come for is taken away with its client."""
    uploads = Uploads()
    with uploads.way(B1) as upload:
        assert await upload.send(b"one")
    assert not upload.taken
    assert not await upload.send(b"two")


async def test_attempt_without_a_client_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart nobody sends: the attempt does not wait for ever."""
    monkeypatch.setattr("daemon.actors.importing.uploads.ARRIVAL_SECONDS", 0.0)
    with pytest.raises(Permanent) as gone:
        await Uploads().take(B1)
    assert "upload-gone" == gone.value.code
