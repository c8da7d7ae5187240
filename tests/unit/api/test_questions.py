"""What can be asked over the socket, by the client that the command line uses."""

import anyio
import msgspec
import pytest

from daemon.answers import (
    Accepted,
    BackupDetail,
    Backups,
    CacheDetail,
    Caches,
    PlanAnswer,
    PlanRequest,
    RestoreDetail,
    Restores,
    Status,
    VerdictView,
)
from daemon.api.streams import EventLine
from daemon.client import path_of
from daemon.commands import (
    AddCache,
    DeleteBackup,
    RemoveCache,
    ReportAttemptFailed,
    RequestBackup,
    RequestRestore,
    SetCache,
    StartAttempt,
)
from daemon.errors import BadRequest, Failed, NotFound, Permanent, Rejected
from daemon.ledger import DAEMON
from events.audit import verify_export
from events.facts import BackupId, Finding
from events.types import RestoreFailed
from tests.support.api import serving
from tests.support.given import an_id
from tests.support.samples import (
    B1,
    B2,
    B3,
    FOR_GOOD,
    ORDERS,
    OUTSIDE,
    PROBE,
    R1,
    SETTINGS,
    STARTED,
    USERS,
    abandoned,
    complete,
    plan,
    registered,
    restoring,
    running,
    under_way,
)

pytestmark = pytest.mark.anyio


async def test_an_empty_daemon_is_well() -> None:
    """A daemon with nothing to do has no problems, and says who asks."""
    async with serving(STARTED) as api:
        status = await api.get(Status, "/v1/status")

    assert () == status.problems
    assert "admin" == status.your_role
    assert 1 == status.log.position


async def test_only_complete_backups_are_listed() -> None:
    """What waits, runs or has failed is not a backup, and is listed only when asked for."""
    history = (registered(), complete(B1), running(B2), abandoned(B3))
    async with serving(*history) as api:
        listed = await api.get(Backups, "/v1/backups")
        every = await api.get(Backups, "/v1/backups", {"all": True})

    assert [B1] == [view.backup_id for view in listed.backups]
    assert {B1, B2, B3} == {view.backup_id for view in every.backups}


async def test_backups_of_a_removed_cache_can_be_listed() -> None:
    """Manual backups outlive their cache and are listed under its name."""
    async with serving(registered(), complete(B1)) as api:
        await api.post(Accepted, "/v1/commands", RemoveCache("orders"))
        caches = await api.get(Caches, "/v1/caches")
        listed = await api.get(Backups, "/v1/backups", {"cache": "orders"})

    assert () == caches.caches
    assert [B1] == [view.backup_id for view in listed.backups]


@pytest.mark.parametrize("reference", [B1, B1[:-1], "orders/nightly"])
async def test_a_backup_is_found_by_id_prefix_or_name(reference: str) -> None:
    """An id, a unique beginning of one, and CACHE/NAME mean the same backup."""
    async with serving(registered(), complete(B1, name="nightly")) as api:
        detail = await api.get(BackupDetail, path_of("backups", reference))

    assert B1 == detail.backup.backup_id
    assert detail.objects[0].endswith(f"caches/orders/{B1}/0000.rdb.zst")


async def test_a_near_miss_is_named() -> None:
    """A name that is nearly one of the known ones is answered with that one."""
    async with serving(registered(), complete(B1, name="nightly")) as api:
        with pytest.raises(NotFound) as cache:
            await api.get(CacheDetail, path_of("caches", "order"))
        with pytest.raises(NotFound) as backup:
            await api.get(BackupDetail, path_of("backups", "orders/nightle"))
        with pytest.raises(NotFound) as command:
            await api.post(Accepted, "/v1/commands", RequestBackup("oders", "x"))

    assert "orders" in cache.value.hint
    assert "orders/nightly" in backup.value.hint
    assert "orders" in command.value.hint


async def test_waiting_ends_when_the_backup_ends() -> None:
    """A question that waits for a backup is answered as soon as the backup has failed."""
    async with serving(registered()) as api:
        told = await api.post(Accepted, "/v1/commands", RequestBackup("orders", "nightly"))
        backup_id = BackupId(told.backup_id or "")
        route = path_of("backups", backup_id)
        early = await api.get(BackupDetail, route, {"wait": 0.01})
        found: list[BackupDetail] = []

        async def wait() -> None:
            found.append(await api.get(BackupDetail, route, {"wait": 60}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await api.ledger.execute(StartAttempt(backup_id), DAEMON)
            await api.ledger.execute(ReportAttemptFailed(backup_id, FOR_GOOD), DAEMON)

    assert "waiting" == early.backup.phase
    assert "failed" == found[0].backup.phase
    assert FOR_GOOD == found[0].backup.failure


async def test_progress_is_in_the_views() -> None:
    """How far running work is stands in the view of its backup."""
    async with serving(registered(), running(B1)) as api:
        with api.outside.board.line(B1) as line:  # type: ignore[attr-defined]
            line.phase("reading the snapshot", 1000)
            line.advance(250)
            detail = await api.get(BackupDetail, path_of("backups", B1))

    progress = detail.backup.progress
    assert progress is not None
    assert ("reading the snapshot", 250, 1000) == (
        progress.phase,
        progress.moved_bytes,
        progress.total_bytes,
    )


async def test_restores_are_listed_until_they_end() -> None:
    """A restore under way is active, and after its end only in the whole list."""
    failed = RestoreFailed(cache=ORDERS, restore_id=R1, failure=OUTSIDE, undone=True, command="x")
    async with serving(registered(), complete(B1), under_way(B1)) as api:
        active = await api.get(Restores, "/v1/restores", {"active": True})
    async with serving(registered(), complete(B1), restoring(B1), failed) as api:
        after = await api.get(Restores, "/v1/restores", {"active": True})
        detail = await api.get(RestoreDetail, path_of("restores", R1))

    assert [R1] == [view.restore_id for view in active.restores]
    assert () == after.restores
    assert OUTSIDE == detail.restore.failure


async def test_a_status_names_what_is_wrong() -> None:
    """A failed backup, a missing one and a failed restore are problems, each with a hint."""
    failed = RestoreFailed(cache=USERS, restore_id=R1, failure=OUTSIDE, undone=False, command="x")
    history = (registered(), registered(USERS), abandoned(B1), restoring(B2, to=USERS), failed)
    async with serving(*history) as api:
        status = await api.get(Status, "/v1/status")

    assert ["connection-refused", "no-backup", "connection-refused"] == [
        problem.code for problem in status.problems
    ]
    assert all(problem.hint for problem in status.problems)


async def test_a_later_backup_ends_the_problem() -> None:
    """A failure is no problem any more once a later backup is complete."""
    async with serving(registered(), abandoned(B1), complete(B2)) as api:
        status = await api.get(Status, "/v1/status")

    assert () == status.problems


async def test_adding_a_cache_records_what_was_found() -> None:
    """A cache is probed before it is recorded, with the one vault as its default (C2)."""
    async with serving() as api:
        told = await api.post(Accepted, "/v1/commands", AddCache("orders", SETTINGS.url))
        detail = await api.get(CacheDetail, path_of("caches", "orders"))

    assert PROBE == told.probe == detail.cache.probe
    assert "main" == detail.cache.settings.vault


async def test_an_unreachable_cache_needs_no_probe() -> None:
    """A cache that does not answer is refused with the way out, and can be added unseen."""
    async with serving() as api:
        api.outcomes.found = Permanent("refused", "Nobody listens.", "Start it.")
        with pytest.raises(Failed) as refused:
            await api.post(Accepted, "/v1/commands", AddCache("orders", SETTINGS.url))
        told = await api.post(
            Accepted, "/v1/commands", AddCache("orders", SETTINGS.url, probe=False)
        )

    assert "--no-probe" in refused.value.hint
    assert told.probe is None
    assert "orders" == told.cache


async def test_a_password_in_a_url_is_refused_unseen() -> None:
    """A URL with a password is refused before anything is recorded, and never told back."""
    request = AddCache("orders", "valkey://u:hunter2@127.0.0.1", probe=False)
    async with serving() as api:
        with pytest.raises(BadRequest) as refused:
            await api.post(Accepted, "/v1/commands", request)
        position = api.ledger.state.position

    assert "hunter2" not in f"{refused.value.message}{refused.value.hint}"
    assert 0 == position


async def test_setting_a_cache_keeps_the_rest() -> None:
    """What a change does not name stays as it was."""
    async with serving(registered()) as api:
        request = SetCache("orders", source="replication")
        await api.post(Accepted, "/v1/commands", request)
        detail = await api.get(CacheDetail, path_of("caches", "orders"))

    assert "replication" == detail.cache.settings.source
    assert SETTINGS.url == detail.cache.settings.url


async def test_a_key_gives_the_first_answer_again() -> None:
    """The same key and body have one effect and one answer; another body is refused (L4)."""
    async with serving(registered()) as api:
        request = RequestBackup("orders", "nightly")
        first = await api.post(Accepted, "/v1/commands", request, key="k")
        again = await api.post(Accepted, "/v1/commands", request, key="k")
        with pytest.raises(Rejected) as other:
            await api.post(Accepted, "/v1/commands", RequestBackup("orders", "b"), key="k")

    assert first == again
    assert "key-reused" == other.value.code


async def test_a_repeated_key_probes_nothing() -> None:
    """A cache command that was answered before is answered again without a look at the cache."""
    async with serving() as api:
        request = AddCache("orders", SETTINGS.url)
        first = await api.post(Accepted, "/v1/commands", request, key="k")
        again = await api.post(Accepted, "/v1/commands", request, key="k")

    assert first == again
    assert 1 == len(api.outcomes.probes)


async def test_a_plan_touches_nothing() -> None:
    """A plan names the blockers that no force lifts, and leaves the log as it was."""
    forcible = Finding("memory", "blocker", "too small", forcible=True)
    never = Finding("replica", "blocker", "a replica")
    async with serving(registered(), complete(B1)) as api:
        api.outcomes.planned = plan(forcible, never, target_keys=7)
        before = api.ledger.state.position
        wish = PlanRequest(B1, "orders", force=("memory", "replica"))
        answer = await api.post(PlanAnswer, "/v1/plans", wish)

    assert ("replica",) == answer.blockers
    assert before == api.ledger.state.position


async def test_commands_answer_with_ids() -> None:
    """What a command has set going is named in its answer."""
    async with serving(registered(), complete(B1), complete(B2)) as api:
        restore = await api.post(Accepted, "/v1/commands", RequestRestore(B1, "orders"))
        deletion = await api.post(Accepted, "/v1/commands", DeleteBackup(B2))

    assert restore.restore_id
    assert (B2,) == deletion.deleted_backup_ids


async def test_the_history_is_told_in_order() -> None:
    """Events come in the log's order, of one cache if asked, and the last ones if asked."""
    async with serving(STARTED, registered(), registered(USERS), complete(B1)) as api:
        lines = await api.lines("/v1/events")
        of_users = await api.lines("/v1/events", {"cache": "users"})
        last = await api.lines("/v1/events", {"last": 2})
        after = await api.lines("/v1/events", {"after": 5, "cache": "orders"})

    told = [msgspec.json.decode(line, type=EventLine) for line in lines]
    assert [1, 2, 3, 4, 5, 6] == [line.position for line in told]
    assert [3] == [msgspec.json.decode(line)["position"] for line in of_users]
    assert [5, 6] == [msgspec.json.decode(line)["position"] for line in last]
    assert [6] == [msgspec.json.decode(line)["position"] for line in after]
    assert b'"type":"daemon-started/1"' in lines[0]


async def test_a_long_history_comes_whole() -> None:
    """A history of many pieces arrives without a gap, and so does its export."""
    many = [complete(an_id(number)) for number in range(400)]
    async with serving(registered(), *many) as api:
        lines = await api.lines("/v1/events")
        export = await api.lines("/v1/audit/export")
        verdict = await api.get(VerdictView, "/v1/audit/verify")

    positions = [msgspec.json.decode(line)["position"] for line in lines]
    assert list(range(1, 1202)) == positions
    assert 1201 == verdict.records == verify_export(export).records


async def test_a_wrong_question_is_refused_by_name() -> None:
    """Unknown parameters, routes, verbs and fields are refused, each with what there is."""
    async with serving(registered()) as api:
        with pytest.raises(BadRequest) as parameter:
            await api.get(Backups, "/v1/backups", {"colour": "red"})
        with pytest.raises(NotFound) as route:
            await api.get(Backups, "/v1/nothing")
        with pytest.raises(BadRequest) as verb:
            await api.get(Backups, "/v1/commands")
        with pytest.raises(BadRequest) as body:
            await api.post(Accepted, "/v1/commands", PlanRequest(B1, "orders"))

    assert "colour" in parameter.value.message
    assert ["query", "unknown-route", "method", "body"] == [
        error.value.code for error in (parameter, route, verb, body)
    ]
