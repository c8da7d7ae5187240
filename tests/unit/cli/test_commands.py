"""The command line against a real socket: what it prints, asks, and exits with."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import msgspec
import pytest

from daemon.answers import Backups, Caches
from daemon.api import Access
from daemon.commands import (
    Command,
    ReportAttemptFailed,
    ReportPlan,
    ReportRestored,
    ReportRestoreFailed,
    ReportUndone,
    StartAttempt,
    StartRestore,
)
from daemon.config import example
from daemon.errors import Transient
from daemon.ledger import DAEMON
from events import codec
from events.audit import verify_export
from events.envelope import Commit, Entry
from events.facts import (
    INSTALLATION,
    START,
    BackupId,
    CacheName,
    CommitId,
    Finding,
    RestoreId,
)
from events.sqlite import open_log
from events.types import (
    BackupCompleted,
    Event,
    SnapshotTaken,
)
from projections.catalog import Backup
from projections.state import State
from tests.support.api import Served, doorway, serving, typed
from tests.support.given import NOON
from tests.support.samples import (
    B1,
    B2,
    B3,
    ORDERS,
    OUTSIDE,
    PROBE,
    RESULT,
    SNAPSHOT,
    STARTED,
    STORED,
    USERS,
    abandoned,
    attempted,
    complete,
    plan,
    registered,
    requested,
    running,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def full(backup_id: BackupId, name: str, cache: CacheName = ORDERS) -> tuple[Event, ...]:
    """A backup with the facts of its snapshot."""
    return (
        requested(backup_id, name=name, cache=cache),
        attempted(backup_id, cache=cache),
        SnapshotTaken(cache=cache, backup_id=backup_id, snapshot=SNAPSHOT),
        BackupCompleted(cache=cache, backup_id=backup_id, stored=STORED),
    )


async def test_a_list_of_backups() -> None:
    """A list tells names, ages and sizes for people."""
    async with serving(registered(), full(B1, "nightly")) as api:
        printed = await api.type("backup", "list")

    assert [
        "BACKUP          KIND    TAKEN       MEMORY    RDB  STORED  KEYS  PROVEN",
        "orders/nightly  manual  3 h ago  976.6 KiB  100 B    50 B     -  -",
        "1 backup, 50 B stored",
    ] == printed.out.splitlines()
    assert (0, "") == (printed.code, printed.err)


async def test_a_list_of_all_tells_what_became_of_each() -> None:
    """With --all, what runs and what has failed is listed with its state."""
    async with serving(registered(), full(B1, "a"), abandoned(B2, name="b"), running(B3)) as api:
        printed = await api.type("backup", "list", "--all")

    assert ["complete", "failed", "running"] == [
        line.split()[1] for line in printed.out.splitlines()[1:] if line[0] != " "
    ]
    assert "    attempt 1 failed: Nobody listens; one attempt" in printed.out


async def test_json_is_exact() -> None:
    """With --json the daemon's answer comes as it is, with bytes and instants."""
    async with serving(registered(), full(B1, "nightly")) as api:
        printed = await api.type("backup", "list", "--json")

    (view,) = json.loads(printed.out)["backups"]
    assert (50, "2026-03-01T12:00:00Z") == (view["stored_bytes"], view["taken_at"])


async def test_a_page_of_one_backup() -> None:
    """A page tells source, figures and hashes, and how to open the object without Valkeep."""
    async with serving(registered(), full(B1, "nightly")) as api:
        printed = await api.type("backup", "show", "orders/nightly")

    lines = printed.out.splitlines()
    place = "/var/backups/valkeep/caches/orders/20260301T120000Z-000000b1/0000.rdb.zst"
    assert f"  zstd -d < {place} > 0000.rdb" in lines
    assert "  engine       valkey 8.1.8, RDB version 80" in lines
    assert "  stored    50 B in 1 block, 2.0 to 1" in lines
    assert "  sha256    " + "0" * 64 in printed.out
    assert "neither ACL users nor configuration" in printed.out
    assert all(len(line) <= 80 for line in lines if "zstd" not in line and "0" * 64 not in line)


async def test_all_is_well() -> None:
    """A status begins with the verdict and tells newest backups, vaults and the daemon."""
    async with serving(STARTED, registered(), full(B1, "nightly")) as api:
        printed = await api.type("status")

    assert [
        "All is well.",
        "",
        "CACHE   NEWEST GOOD  LAST PROVEN  NEXT START  RESTORE  YOU WOULD LOSE  STATE",
        "orders  3 h ago      never        -           unknown  the last 3 h    ok",
        "",
        "VAULT  ANSWERS  BACKUPS  STORED  FREE  URL",
        "main   -              1    50 B  -     file:///var/backups/valkeep",
        "",
        "daemon  valkeep 0.1.0, up 3 h",
        "log     writable, position 6",
        "clock   2026-03-01 15:00:00Z",
        "you     admin",
    ] == printed.out.splitlines()


async def test_a_status_tells_what_is_wrong_and_what_runs() -> None:
    """Problems come first, each with its hint; then running work with its progress."""
    async with serving(registered(), abandoned(B1, name="nightly"), running(B2, name="now")) as api:
        with api.outside.board.line(B2) as line:  # type: ignore[attr-defined]
            line.phase("waiting for the fork")
            printed = await api.type("status")

    assert [
        "1 problem:",
        "  WARNING orders: backup nightly failed: Nobody listens.",
        "    hint: Start it.",
        "",
        "backup orders/now: waiting for the fork",
    ] == printed.out.splitlines()[:5]


async def test_adding_a_cache_prints_what_was_found() -> None:
    """What the look at a new cache found is printed, missing rights with their ACL line."""
    async with serving() as api:
        api.outcomes.found = msgspec.structs.replace(PROBE, missing_rights="ACL SETUSER v +sync")
        printed = await api.type("cache", "add", "orders", "--url", "valkey://127.0.0.1")

    assert [
        "Cache orders is added.",
        "  engine  valkey 8.1.8",
        "  role    primary, 0 replicas",
        "  holds   3 keys, 976.6 KiB",
        "  source  replication: its file cannot be read",
        "  Rights are missing. This grants them:",
        "    ACL SETUSER v +sync",
    ] == printed.out.splitlines()


async def test_settings_go_to_the_daemon_as_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every flag arrives, and a relative password file as a whole path."""
    async with serving() as api:
        flags = ["--vault", "main", "--source", "replication", "--node", "primary"]
        url = ["--url", "unix:///run/v.sock"]
        added = await api.type("cache", "add", "orders", *url, *flags, "--no-probe")
        monkeypatch.chdir(tmp_path)
        await api.type("cache", "set", "orders", "--password-file", "p")
        listed = await api.type("cache", "show", "orders", "--json")

    settings = json.loads(listed.out)["cache"]["settings"]
    assert [] == [probe for probe in api.outcomes.probes if probe.password_file is None]
    assert "It was not looked at." in added.out
    assert {
        "url": "unix:///run/v.sock",
        "vault": "main",
        "source": "replication",
        "node": "primary",
        "password_file": f"{tmp_path}/p",
    } == settings


async def test_tls_is_set_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of TLS arrive as whole paths, and `cache show` tells what is spoken with."""
    async with serving() as api:
        monkeypatch.chdir(tmp_path)
        flags = ["--tls-ca-file", "ca", "--tls-cert-file", "c", "--tls-key-file", "k"]
        await api.type("cache", "add", "orders", "--url", "valkeys://c", *flags, "--no-probe")
        await api.type("cache", "set", "orders", "--tls-server-name", "c.example", "--no-probe")
        page = await api.type("cache", "show", "orders")
        taken = await api.type("cache", "set", "orders", "--tls-server-name", "", "--no-probe")
        listed = await api.type("cache", "show", "orders", "--json")

    told = " ".join(page.out.split())
    assert f"signed by {tmp_path}/ca" in told
    assert "for c.example" in told
    assert f"{tmp_path}/c (key: {tmp_path}/k)" in told
    assert "is changed" in taken.out
    assert "tls_server_name" not in json.loads(listed.out)["cache"]["settings"]


@pytest.mark.parametrize(
    ("line", "code", "error", "hint"),
    [
        ("bakup list", 2, "There is no command 'bakup'.", "Did you mean 'backup'?"),
        ("backup lst", 2, "There is no command 'lst'.", "Did you mean 'list'?"),
        ("backup list --al", 2, "There is no option '--al'.", "Did you mean '--all'?"),
        ("restore orders/nightly", 2, "Say where to: --to CACHE", "valkeep restore --help"),
        ("cache set orders", 2, "Nothing to set", "valkeep cache set --help"),
        ("backup create orders 9x", 2, "cannot be the name", "beginning with a letter"),
        ("backup create orders nightly", 3, "already has a backup", "valkeep backup delete"),
        ("backup create order x", 4, "There is no cache 'order'.", "Did you mean 'orders'?"),
        ("backup show orders/nighty", 4, "There is no backup", "Did you mean 'orders/nightly'?"),
        ("backup list other", 4, "There is no cache 'other'.", "orders"),
        ("backup delete orders/nightly", 2, "has to be confirmed", "--yes"),
        ("cache remove orders", 2, "has to be confirmed", "--yes"),
    ],
)
async def test_refusals(line: str, code: int, error: str, hint: str) -> None:
    """Each refusal has one form on stderr, its exit code, and what to do."""
    async with serving(registered(), full(B1, "nightly")) as api:
        printed = await api.type(*line.split())
        position = api.ledger.state.position

    first, *rest = printed.err.splitlines()[-2:]
    assert code == printed.code
    assert first.startswith("error: ")
    assert error in first
    assert rest[0].startswith("  hint: ")
    assert hint in rest[0]
    assert "" == printed.out
    assert 5 == position


async def test_an_unreachable_daemon_is_exit_5() -> None:
    """Without a daemon every command says where it looked, and exits with 5."""
    with doorway() as path:
        printed = typed("--socket", str(path), "status")

    assert 5 == printed.code
    assert f"error: No daemon can be reached on {path}: there is no such socket." in printed.err


async def test_the_socket_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """VALKEEP_SOCKET names the socket, and --socket wins over it."""
    async with serving() as api:
        monkeypatch.setenv("VALKEEP_SOCKET", str(api.path))
        by_environment = await anyio.to_thread.run_sync(typed, "status")
        monkeypatch.setenv("VALKEEP_SOCKET", "/nowhere")
        by_option = await api.type("status")

    assert (0, 0) == (by_environment.code, by_option.code)


async def test_a_stranger_is_exit_3() -> None:
    """Who has no role is told who he is and where roles come from, with exit 3."""
    async with serving(access=Access(users={}, groups={})) as api:
        printed = await api.type("status")

    assert 3 == printed.code
    assert "does not know you" in printed.err
    assert "[roles]" in printed.err


def phase_of(state: State, backup_id: BackupId) -> str:
    """How far a backup of the sample cache is."""
    found: Backup = state.catalog[ORDERS][backup_id]
    return found.phase


@pytest.mark.parametrize(("keyboard", "gone"), [("y\n", True), ("n\n", False), ("", False)])
async def test_deleting_asks_first(*, keyboard: str, gone: bool) -> None:
    """A deletion names what will be deleted, and only a yes deletes it."""
    async with serving(registered(), full(B1, "nightly")) as api:
        printed = await api.type("backup", "delete", "orders/nightly", keyboard=keyboard)
        phase = phase_of(api.ledger.state, B1)

    assert gone == (phase == "deleting")
    assert gone == (printed.code == 0)
    assert "orders/nightly" in printed.err


async def test_deleting_with_yes_asks_nothing() -> None:
    """With --yes a script deletes without being asked."""
    async with serving(registered(), full(B1, "nightly")) as api:
        printed = await api.type("backup", "delete", B1, "--yes")
        phase = phase_of(api.ledger.state, B1)

    assert (0, "deleting") == (printed.code, phase)


async def test_removing_a_cache_tells_what_goes_and_what_stays() -> None:
    """Before a cache is removed, the backups that go with it are named one by one."""
    safety = complete(B2, name="before", kind="safety")
    async with serving(registered(), full(B1, "nightly"), safety) as api:
        printed = await api.type("cache", "remove", "orders", keyboard="y\n")
        caches = await api.get(Caches, "/v1/caches")
        backups = await api.get(Backups, "/v1/backups")

    assert f"will be deleted: orders/before (safety, {B2})" in printed.err
    assert "1 manual backup will stay" in printed.err
    assert () == caches.caches
    assert [B1] == [view.backup_id for view in backups.backups]


async def test_a_plan_is_shown_and_nothing_done() -> None:
    """With --plan the findings, what clients see and what to type by hand are shown."""
    async with serving(registered(), full(B1, "nightly")) as api:
        warning = Finding("persistence", "warning", "In memory only.", "Set save points.")
        api.outcomes.planned = plan(warning, target_keys=7)
        printed = await api.type("restore", "orders/nightly", "--to", "orders", "--plan")
        position = api.ledger.state.position

    assert [
        "Plan: restore orders/nightly into orders",
        "  backup   taken 2026-03-01 12:00:00Z, 100 B",
        "  target   holds 7 keys, all of them to be replaced",
        "  safety   a backup of the target is made first",
        "  method   by replication: the target takes it from us as from a primary",
        "  loading  disabled: taken to the engine's disk whole before the old data goes",
        "  time     not known: nothing of this cache was restored or loaded yet",
        "  WARNING persistence: In memory only.",
        "    hint: Set save points.",
        "  if Valkeep's host dies in the middle, type on the target:",
        "    REPLICAOF NO ONE",
        "  An RDB holds neither ACL users nor configuration: those of the target stay.",
    ] == printed.out.splitlines()
    assert (0, 5) == (printed.code, position)


async def test_a_blocker_stops_a_restore() -> None:
    """A blocker ends it with exit 3 before anything is asked for, unless it is forced."""
    async with serving(registered(), full(B1, "nightly")) as api:
        blocker = Finding("memory", "blocker", "Too small.", "Raise it.", forcible=True)
        api.outcomes.planned = plan(blocker)
        words = ["restore", "orders/nightly", "--to", "orders"]
        blocked = await api.type(*words)
        before = api.ledger.state.position
        forced = await api.type(*words, "--force", "memory")

    assert (3, 5) == (blocked.code, before)
    assert "error: The plan has a blocker: Too small." in blocked.err
    assert "--force memory" in blocked.err
    assert 0 == forced.code
    assert "FORCED memory" in forced.err


@pytest.mark.parametrize(
    ("words", "keyboard", "code"),
    [
        ((), None, 3),
        (("--yes",), None, 3),
        (("--replace",), None, 0),
        ((), "orders\n", 0),
        ((), "order\n", 3),
        (("--replace",), "n\n", 3),
        (("--replace",), "y\n", 0),
        (("--replace", "--yes"), "", 0),
    ],
)
async def test_overwriting_has_to_be_said(
    words: tuple[str, ...], keyboard: str | None, code: int
) -> None:
    """A target that holds keys is overwritten after its name was typed, or with --replace (R3)."""
    async with serving(registered(), full(B1, "nightly")) as api:
        api.outcomes.planned = plan(target_keys=7)
        typed_words = ("restore", "orders/nightly", "--to", "orders", *words)
        printed = await api.type(*typed_words, keyboard=keyboard)
        restores = list(api.ledger.state.restores.values())

    assert code == printed.code
    assert [True] * (code == 0) == [restore.replace for restore in restores]


async def fail(api: Served, failure: Transient) -> None:
    """Play the daemon's part for the one backup that has been asked for."""
    state = api.ledger.state
    while not state.open_backups:
        state = await api.ledger.changed(state)
    (backup_id,) = state.open_backups
    await api.ledger.execute(StartAttempt(backup_id), DAEMON)
    await api.ledger.execute(ReportAttemptFailed(backup_id, failure.as_failure()), DAEMON)


async def test_waiting_for_a_backup_tells_how_it_ended() -> None:
    """With --wait the exit code is the backup's: a failure is told with its hint."""
    async with serving(registered()) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(fail, api, Transient("stalled", "The source stalled.", "Look at it."))
        printed = await api.type("backup", "create", "orders", "nightly", "--wait")

    assert 1 == printed.code
    assert printed.err.endswith(
        "error: Backup orders/nightly failed: The source stalled.\n  hint: Look at it.\n"
    )


async def test_waiting_has_an_end() -> None:
    """With --timeout the command gives up waiting, and says that the work goes on."""
    async with serving(registered()) as api:
        api.clock.step = timedelta(seconds=1)
        words = ("backup", "create", "orders", "nightly", "--wait", "--timeout", "0.1")
        printed = await api.type(*words)

    assert 1 == printed.code
    assert "it goes on in the daemon" in printed.err


async def carry_out(api: Served, *ends: Callable[[RestoreId], Command]) -> None:
    """Play the daemon's part for the one restore that has been asked for."""
    state = api.ledger.state
    while not state.active:
        state = await api.ledger.changed(state)
    (restore_id,) = state.active.values()
    for end in ends:
        await api.ledger.execute(end(restore_id), DAEMON)


def planned(restore_id: RestoreId) -> Command:
    """Its plan has nothing against it."""
    return ReportPlan(restore_id, plan())


def started(restore_id: RestoreId) -> Command:
    """It has begun to change the target."""
    return StartRestore(restore_id, "r" * 40, {}, {}, "127.0.0.1:7000", "b" * 40)


def failed(restore_id: RestoreId) -> Command:
    """It cannot go on."""
    return ReportRestoreFailed(restore_id, OUTSIDE)


RESTORE = ("restore", "orders/nightly", "--to", "orders", "--wait")


async def test_a_restore_tells_what_it_left() -> None:
    """A completed restore tells keys, evictions and how durable the result is."""
    at_work = anyio.create_task_group()
    async with serving(registered(), full(B1, "nightly")) as api, at_work as tasks:
        tasks.start_soon(carry_out, api, planned, started, lambda i: ReportRestored(i, RESULT))
        printed = await api.type(*RESTORE)

    assert [
        "  keys     db0: 3",
        "  evicted  none",
        "  result   On disk.",
        "  served   after 1.0 s",
        "  in all   2.0 s",
    ] == printed.out.splitlines()[1:]
    assert 0 == printed.code


async def test_a_restore_that_failed_tells_how_to_go_on() -> None:
    """A failed restore tells why, that it is undone, and the command to repeat."""
    at_work = anyio.create_task_group()
    async with serving(registered(), full(B1, "nightly")) as api, at_work as tasks:
        ends = (planned, started, failed, lambda i: ReportUndone(i, loaded=False))
        tasks.start_soon(carry_out, api, *ends)
        printed = await api.type(*RESTORE)

    error, hint, undone, again = printed.err.splitlines()[-4:]
    assert error.endswith("into orders failed: Nobody listens.")
    assert "  hint: Start it." == hint
    assert "What the restore had changed on the cache is undone." in undone
    assert f"valkeep restore {B1} --to orders" in again
    assert 1 == printed.code


async def test_a_restore_that_its_own_plan_stops_is_refused() -> None:
    """A target that was filled after the plan was shown is refused, with exit 3."""
    at_work = anyio.create_task_group()
    async with serving(registered(), full(B1, "nightly")) as api, at_work as tasks:
        tasks.start_soon(carry_out, api, lambda i: ReportPlan(i, plan(target_keys=7)))
        printed = await api.type(*RESTORE)

    assert 3 == printed.code
    assert "--replace" in printed.err


async def test_work_that_is_not_waited_for_tells_how_to_follow_it() -> None:
    """Without --wait the ids are told, and the commands that show how far it is."""
    async with serving(registered(), full(B1, "nightly")) as api:
        backup = await api.type("backup", "create", "orders", "second")
        restore = await api.type(*RESTORE[:-1])

    assert "See: valkeep backup show " in backup.out
    assert "valkeep events --cache orders --follow" in restore.out


async def test_the_history_in_sentences() -> None:
    """Each event is one line: position, instant, who, and what in words."""
    async with serving(STARTED, registered(), registered(USERS)) as api:
        printed = await api.type("events")
        of_users = await api.type("events", "--cache", "users")
        raw = await api.type("events", "--json", "--last", "1")

    assert [
        "     1  2026-03-01 12:00:00Z  daemon: the daemon started, version 0.1.0",
        "     2  2026-03-01 12:01:00Z  daemon: cache orders added: valkey://127.0.0.1:6379",
        "     3  2026-03-01 12:02:00Z  daemon: cache users added: valkey://127.0.0.1:6379",
    ] == printed.out.splitlines()
    assert ["     3"] == [line[:6] for line in of_users.out.splitlines()]
    assert "cache-registered/3" == json.loads(raw.out)["event"]["type"]


async def test_the_history_is_proven_through_the_daemon() -> None:
    """A verdict tells how much was followed; the export can be checked by itself."""
    async with serving(STARTED, registered()) as api:
        verdict = await api.type("audit", "verify")
        export = await api.type("audit", "export")

    proven = verify_export(export.out.encode().splitlines(keepends=True))
    assert "The log is whole: 2 events" in verdict.out
    assert proven.head_hash.hex() in verdict.out


async def test_a_stopped_log_is_proven_without_a_daemon(tmp_path: Path) -> None:
    """With --file a log that no daemon has is followed and exported, and one in use is not."""
    path = tmp_path / "events.db"
    commit = Commit(
        commit_id=CommitId("c1"),
        at=NOON,
        who=DAEMON,
        relied={INSTALLATION: START},
        entries=(Entry(INSTALLATION, codec.encode(STARTED)),),
    )
    async with open_log(path, pid=os.getpid()) as log:
        await log.append([commit])
        in_use = await anyio.to_thread.run_sync(typed, "audit", "verify", "--file", str(path))
    verdict = await anyio.to_thread.run_sync(typed, "audit", "verify", "--file", str(path))
    export = await anyio.to_thread.run_sync(typed, "audit", "export", "--file", str(path))
    missing = await anyio.to_thread.run_sync(typed, "audit", "verify", "--file", "/nowhere")

    assert (0, 0, 1, 1) == (verdict.code, export.code, in_use.code, missing.code)
    assert "The log is whole: 1 event," in verdict.out
    assert 1 == verify_export(export.out.encode().splitlines(keepends=True)).records
    assert "  hint: " in in_use.err


def test_a_configuration_is_checked(tmp_path: Path) -> None:
    """A good file is in order; every problem of a bad one is told with its line, with exit 2."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[vaults.main]\nurl = "file:///v"\n')
    bad.write_text('[vaults.main]\nurl = "ftp:///v"\n[demon]\n')
    checked, wrong = typed("config", "check", str(good)), typed("config", "check", str(bad))
    gone = typed("config", "check", str(tmp_path / "none"))

    assert f"{good} is in order: 1 vault, 0 caches.\n" == checked.out
    assert (0, 2, 2) == (checked.code, wrong.code, gone.code)
    assert f"{bad}:2" in wrong.err
    assert f"{bad}:3" in wrong.err
    assert wrong.err.startswith(f"error: {bad} has 2 problems:\n")


def test_an_example_can_be_begun_with() -> None:
    """`config init` prints the example as it is."""
    assert example() == typed("config", "init").out


def test_help_needs_no_daemon_and_tells_all_commands() -> None:
    """Help lists every command; none at all is a question, not a mistake of ours."""
    listed, nothing = typed("--help"), typed()

    for name in ("status", "cache", "backup", "restore", "events", "audit", "serve", "demo"):
        assert f"\n  {name} " in listed.out
    assert (0, 2) == (listed.code, nothing.code)
