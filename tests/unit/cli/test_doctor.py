"""What the command line and `check` make of vaults at fault, and who may ask the doctor."""

import os

import pytest

from daemon.api import Access
from events.facts import Failure, VaultFault
from events.types import VaultExamined
from tests.support.api import serving
from tests.support.samples import MAIN

pytestmark = pytest.mark.anyio

REFUSED = Failure("vault-rights", "403 AccessDenied", "the keys need s3:DeleteObject")
CANNOT_DELETE = VaultExamined(MAIN, "file:///var/backups/valkeep", (VaultFault("delete", REFUSED),))


async def test_only_an_operator_may_have_it_examined() -> None:
    """Trying vaults out writes to them: a viewer is refused, exit 3."""
    async with serving(access=Access(users={os.geteuid(): "viewer"}, groups={})) as api:
        printed = await api.type("doctor")

    assert 3 == printed.code
    assert "GET /v1/doctor needs the role operator, and you are viewer" in printed.err


async def test_check_and_status_tell_of_a_vault_at_fault() -> None:
    """A vault that cannot delete is a WARNING of `check` and a problem of `status`."""
    async with serving(CANNOT_DELETE) as api:
        checked = await api.type("check")
        status = await api.type("status")
        events = await api.type("events")

    assert 1 == checked.code
    assert checked.out.startswith(
        "WARNING vault: vault main: it cannot delete: retention will not work, and everything "
        "stays and costs (403 AccessDenied); found on 2026-03-01 12:00Z; the keys need "
        "s3:DeleteObject. `valkeep doctor` tries it again\n"
    )
    assert "WARNING Vault main: it cannot delete: retention will not work" in status.out
    assert "vault main was tried out, and is at fault: delete: 403 AccessDenied" in events.out


async def test_a_vault_that_is_well_again_is_no_line() -> None:
    """When a vault was found well again `check` says nothing of it."""
    well = VaultExamined(MAIN, "file:///var/backups/valkeep")
    async with serving(CANNOT_DELETE, well) as api:
        checked = await api.type("check")
        events = await api.type("events")

    assert 0 == checked.code
    assert "vault" not in checked.out
    assert "vault main was tried out, and all is well again" in events.out
