"""The canary against real servers behind a proxy that takes one right away, and real folders.

Each refusal is told by the permission that is missing; nothing stays but what cannot be
removed, and that goes with the next canary that may.
"""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import count
from pathlib import Path

import anyio
import pytest
from msgspec import Struct

from daemon.storage import names
from daemon.storage.canary import Trial, try_out
from daemon.storage.factory import open_vault
from daemon.storage.s3 import S3Vault
from daemon.storage.s3_calls import Patience
from daemon.storage.settings import VaultSettings
from daemon.storage.vault import Vault
from events.facts import InstallationId, VaultFault
from tests.support.offload import THREADS
from tests.support.proxy import Fault, Operation, Proxy, proxy_before
from tests.support.s3 import S3Server, moto_s3, rclone_s3

pytestmark = pytest.mark.anyio

OURS = InstallationId("20260301T120000Z-00000001")
FOLDER = names.canary_folder(OURS)
QUICK = Patience(attempts=2, first_pause_seconds=0.01, call_seconds=5.0)
PREFIXES = count()
ALWAYS = 1_000


class Bench(Struct, frozen=True):
    """A vault that speaks through the proxy, and one that speaks directly."""

    vault: Vault
    direct: S3Vault
    proxy: Proxy

    def refuse(self, operation: Operation) -> None:
        """Take a right away."""
        fault = Fault(operation, "refuse", ALWAYS, status=403, code="AccessDenied")
        self.proxy.faults.append(fault)

    def swallow(self, operation: Operation) -> None:
        """Answer as if it had been done."""
        self.proxy.faults.append(Fault(operation, "swallow", ALWAYS))

    async def left(self) -> int:
        """Objects and unfinished uploads."""
        async with aclosing(self.direct._uploads("")) as uploads:
            unfinished = [upload async for upload in uploads]
        async with aclosing(self.direct.list("")) as objects:
            return len(unfinished) + len([info async for info in objects])


@pytest.fixture(scope="module", params=["moto", "rclone"])
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[S3Server]:
    """Two servers of different minds."""
    folder = tmp_path_factory.mktemp("s3")
    async with moto_s3() if request.param == "moto" else rclone_s3(folder) as running:
        yield running


@pytest.fixture
async def bench(server: S3Server) -> AsyncIterator[Bench]:
    """A fresh prefix, through the proxy."""
    prefix = f"canary-{next(PREFIXES)}"
    async with proxy_before(server.port) as proxy:
        through = server.settings(prefix, port=proxy.port)
        vault = open_vault(through, THREADS, lambda: 0.5, QUICK)
        direct = open_vault(server.settings(prefix), THREADS, lambda: 0.5)
        assert isinstance(direct, S3Vault)
        yield Bench(vault, direct, proxy)
        await vault.aclose()
        await direct.aclose()


async def tried(vault: Vault, fresh: str = "20260302T120000Z-00000002") -> tuple[VaultFault, ...]:
    """What the canary finds."""
    return await try_out(vault, Trial(OURS, fresh, step_seconds=10.0))


def told(faults: tuple[VaultFault, ...]) -> list[tuple[str, str, str]]:
    """Each fault's deed, code and, where the message has one, the missing permission."""
    return [(f.deed, f.failure.code, _right(f.failure.message)) for f in faults]


def _right(message: str) -> str:
    found = re.search(r"s3:[A-Za-z]+", message)
    return found[0] if found else ""


async def test_a_good_bucket(bench: Bench) -> None:
    """Every right is used, an upload is begun and given up, and the bucket is as it was."""
    assert () == await tried(bench.vault)
    assert 0 == await bench.left()
    used = {seen.operation for seen in bench.proxy.seen}
    assert {"put", "get", "list", "head", "create", "abort", "delete", "uploads"} <= used
    assert [] == bench.proxy.wrong


@pytest.mark.parametrize(
    ("operation", "deed", "right"),
    [
        ("put", "write", "s3:PutObject"),
        ("list", "list", "s3:ListBucket"),
        ("create", "upload", "s3:PutObject"),
        ("abort", "sweep", "s3:AbortMultipartUpload"),
        ("uploads", "sweep", "s3:ListBucketMultipartUploads"),
        ("delete", "delete", "s3:DeleteObject"),
    ],
)
async def test_a_missing_permission_is_named(
    bench: Bench, operation: Operation, deed: str, right: str
) -> None:
    """A right that was taken away is the one fault there is, and goes when it is given back."""
    await bench.vault.put_new(names.OWNER, f'{{"format":1,"installation":"{OURS}"}}'.encode())
    bench.refuse(operation)
    without = await tried(bench.vault)
    bench.proxy.faults.clear()
    given_back = await tried(bench.vault, "20260302T120000Z-00000003")

    assert [(deed, "vault-rights", right)] == told(without)
    assert () == given_back
    assert 1 == await bench.left()


async def test_no_right_to_read(bench: Bench) -> None:
    """Whoever may not read cannot even tell whose vault it is: nothing else is tried."""
    bench.refuse("get")

    assert [("open", "vault-rights", "s3:GetObject")] == told(await tried(bench.vault))
    assert 0 == bench.proxy.count("put")


async def test_no_right_to_list_a_fresh_bucket(bench: Bench) -> None:
    """Without the right to list, S3 refuses to read what is not there: both are named."""
    bench.refuse("get")
    bench.refuse("list")

    assert [
        ("open", "vault-rights", "s3:GetObject"),
        ("list", "vault-rights", "s3:ListBucket"),
    ] == told(await tried(bench.vault))


async def test_a_bucket_that_stores_nothing(bench: Bench) -> None:
    """A server that accepts everything and stores nothing is found out on the first day."""
    for operation in ("put", "part"):
        bench.swallow(operation)

    found = await tried(bench.vault)

    assert [("write", "upload-lost")] == [(f.deed, f.failure.code) for f in found]


async def test_a_bucket_that_deletes_nothing(bench: Bench) -> None:
    """A deletion that is answered and not done (object lock, say) is a fault of its own."""
    bench.swallow("delete")
    kept = await tried(bench.vault)
    bench.proxy.faults.clear()

    assert [("delete", "vault-keeps")] == [(f.deed, f.failure.code) for f in kept]
    assert 1 <= await bench.left()
    assert () == await tried(bench.vault, "20260302T120000Z-00000003")
    assert 0 == await bench.left()


async def test_a_server_that_hangs(bench: Bench) -> None:
    """A request that is never answered is a fault after its time, and the only one."""
    bench.proxy.faults.append(Fault("put", "hang", ALWAYS))
    found = await try_out(bench.vault, Trial(OURS, "20260302T120000Z-00000002", step_seconds=3.0))

    assert [("write", "vault-hangs")] == [(f.deed, f.failure.code) for f in found]
    assert "did not answer in 3 s" in found[0].failure.message


async def test_a_folder(tmp_path: Path) -> None:
    """A directory that does everything has no fault, and nothing is left in it."""
    vault = open_vault(VaultSettings(f"file://{tmp_path}"), THREADS, lambda: 0.5)

    assert () == await tried(vault)
    assert [] == [path async for path in anyio.Path(tmp_path).iterdir()]


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A directory that is missing is told as a disk that may not be mounted."""
    vault = open_vault(VaultSettings(f"file://{tmp_path / 'gone'}"), THREADS, lambda: 0.5)

    assert [("open", "vault-missing")] == [(f.deed, f.failure.code) for f in await tried(vault)]


async def test_a_folder_that_cannot_be_written_to() -> None:
    """Where nobody can make a file, root included, writing is the fault, told once."""
    vault = open_vault(VaultSettings("file:///sys/kernel"), THREADS, lambda: 0.5)

    found = await tried(vault)

    assert ["write"] == [fault.deed for fault in found]
    assert found[0].failure.code in ("vault-rights", "vault-read-only")


async def test_a_file_in_the_way(tmp_path: Path) -> None:
    """A file where a folder belongs is told as an obstruction, and stays."""
    (tmp_path / FOLDER.rstrip("/")).write_text("by hand")
    vault = open_vault(VaultSettings(f"file://{tmp_path}"), THREADS, lambda: 0.5)

    found = await tried(vault)

    assert ("write", "vault-obstructed") == (found[0].deed, found[0].failure.code)
    assert "by hand" == (tmp_path / FOLDER.rstrip("/")).read_text()
