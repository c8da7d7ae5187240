"""A new server's configuration, its start command, and whether it holds what it should: pure."""

from pathlib import Path

import msgspec
import pytest

from daemon.cli.desk import Interrupted
from daemon.cli.new import conf, deed
from daemon.cli.new.check import differences
from daemon.cli.new.wish import NewServer, command_words, usual_command, wanted
from daemon.errors import BadRequest, Failed
from events.facts import RdbTotals, Receipt, ServerFacts
from tests.support.api import typed
from tests.support.samples import SERVER, STORED

NEW = NewServer("orders/nightly", Path("/srv/a b"), 6380)
RICH = msgspec.structs.replace(
    SERVER,
    maxmemory_bytes=512,
    modules=("bf",),
    acl_users=("app", "default"),
    settings={
        "maxmemory-policy": "allkeys-lru",
        "save": "3600 1 60 10000",
        "appendfsync": "everysec",
        "hash-max-listpack-entries": "64",
        "hash-max-ziplist-entries": "64",
        "notify-keyspace-events": "",
        "timeout": "7",
        "replica-read-only": "no",
    },
)
GIVEN: dict[str, object] = {
    "reference": "orders/nightly",
    "new": "x",
    "port": 6380,
    "bind": None,
    "start_command": None,
    "register": None,
    "vault": None,
    "force": (),
    "plan_only": False,
}


def lines(server: ServerFacts | None = RICH, *, append_only: bool = False) -> list[str]:
    """A configuration of that server."""
    return conf.text(NEW, server, databases=20, append_only=append_only).splitlines()


def test_a_configuration_has_its_place_and_what_matters() -> None:
    """Place, databases and recorded settings that matter to data are written, and nothing else."""
    assert [
        "port 6380",
        "bind 127.0.0.1",
        "protected-mode yes",
        'dir "/srv/a b"',
        "dbfilename dump.rdb",
        'logfile "/srv/a b/server.log"',
        'pidfile "/srv/a b/server.pid"',
        "databases 20",
        "maxmemory 512",
        "appendfsync everysec",
        "hash-max-listpack-entries 64",
        "maxmemory-policy allkeys-lru",
        "save 3600 1",
        "save 60 10000",
        "appendonly no",
    ] == [line for line in lines() if line and not line.startswith("#")]


def test_what_a_backup_does_not_hold_is_named() -> None:
    """Modules are lines to fill in, and ACL users are named without `default`."""
    assert "# loadmodule /PATH/TO/bf.so" in lines()
    assert "# Its ACL users are not in a backup: app" in lines()


def test_the_append_only_file_is_told_of_when_it_is_there() -> None:
    """`appendonly yes` stands there only once the file holds the data."""
    assert "appendonly yes" in lines(append_only=True)


def test_old_names_are_used_where_there_are_no_new_ones() -> None:
    """An engine before 7.0 knows ziplists alone; a server that saves nothing stays so."""
    old = {"hash-max-ziplist-entries": "64", "save": ""}
    found = list(conf.recorded(msgspec.structs.replace(RICH, maxmemory_bytes=0, settings=old)))

    assert [("hash-max-ziplist-entries", "64"), ("save", "")] == found


def test_a_server_that_nobody_knows_gets_the_defaults() -> None:
    """An imported backup tells of no settings: the engine's own are used."""
    assert "appendonly no" in lines(None)
    assert [] == list(conf.recorded(None))


def test_a_start_command_is_filled_in_and_never_seen_by_a_shell() -> None:
    """Words are split first and filled in then, so that a space in a path stays in its word."""
    words = command_words("run --at {dir}/x '{conf}' -p{port} ';' $HOME", NEW)

    assert ["run", "--at", "/srv/a b/x", "/srv/a b/valkey.conf", "-p6380", ";", "$HOME"] == words
    usual = command_words(usual_command("/opt/my valkey/valkey-server"), NEW)
    assert ["/opt/my valkey/valkey-server", "/srv/a b/valkey.conf", "--daemonize", "yes"] == usual


@pytest.mark.parametrize("template", ["", "run", "run {cnof}", "run '{conf}", "run {conf} {x}"])
def test_a_start_command_that_cannot_be_used_is_refused(template: str) -> None:
    """No words, no place, unknown placeholders and open quotes are bad usage, with an example."""
    with pytest.raises(BadRequest) as caught:
        command_words(template, NEW)
    assert "start-command" == caught.value.code
    assert "{conf}" in caught.value.hint


def test_flags_become_a_wish() -> None:
    """A relative directory is below the folder one is in, and loopback is the default."""
    found = wanted(GIVEN | {"new": "a/../b"}, Path("/home/anna"))

    assert ("/home/anna/b", "127.0.0.1") == (str(found.directory), found.bind)


@pytest.mark.parametrize("given", [{"register": "no/name"}, {"new": "a\nb"}])
def test_flags_that_can_never_be_are_refused(given: dict[str, object]) -> None:
    """A cache's name that cannot be, and a directory that no configuration could name."""
    with pytest.raises(BadRequest):
        wanted(GIVEN | given, Path("/home/anna"))


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1", "valkey://127.0.0.1:6380"),
        ("0.0.0.0", "valkey://127.0.0.1:6380"),  # noqa: S104
        ("::1", "valkey://[::1]:6380"),
        ("10.0.0.7", "valkey://127.0.0.1:6380"),
    ],
)
def test_a_server_is_reached_where_it_listens(bind: str, url: str) -> None:
    """Without a password a server answers this host alone, so loopback is always among it."""
    assert url == msgspec.structs.replace(NEW, bind=bind).url


@pytest.mark.parametrize(
    ("loaded", "expired", "databases", "wrong"),
    [
        (7, 3, {"db0": "keys=5,expires=0", "db3": "keys=2,expires=1"}, 0),
        (10, 0, {"db0": "keys=6,expires=0", "db3": "keys=4,expires=1"}, 0),
        (9, 0, {"db0": "keys=6,expires=0", "db3": "keys=3,expires=1"}, 1),
        (10, 0, {"db0": "keys=10,expires=0"}, 2),
    ],
)
def test_keys_are_compared(
    loaded: int, expired: int, databases: dict[str, str], wrong: int
) -> None:
    """Loaded and expired keys make the backup's, and no database has more or none of its own."""
    info = {
        "rdb_last_load_keys_loaded": str(loaded),
        "rdb_last_load_keys_expired": str(expired),
        **databases,
    }
    totals = RdbTotals(keys=10, expires=3, highest_database=3, by="valkey 8.1.8")
    receipt = Receipt("loaded", 50, 100, 1.0, keys_per_database={0: 6, 3: 4})
    stored = msgspec.structs.replace(STORED, totals=totals)

    assert wrong == len(list(differences(info, stored, receipt)))


def test_a_server_for_others_listens_on_loopback_too() -> None:
    """An address of the network is one more, never the only one: we must reach it ourselves."""
    others = msgspec.structs.replace(NEW, bind="10.0.0.7")

    assert "bind 127.0.0.1 10.0.0.7" in conf.text(others, None, databases=16, append_only=False)
    assert "bind *\n" in conf.text(
        msgspec.structs.replace(NEW, bind="*"), None, databases=16, append_only=False
    )


def tried(new: NewServer, name: str, end: BaseException) -> None:
    """A try that has made this file, and ends so."""
    with deed._undone(new):
        new.place(name).touch()
        raise end


@pytest.mark.parametrize("there", [False, True])
def test_what_is_interrupted_is_taken_back(tmp_path: Path, there: bool) -> None:  # noqa: FBT001
    """Ctrl-C while the bytes come leaves no file of ours, and a directory that was there before."""
    new = msgspec.structs.replace(NEW, directory=tmp_path / "new")
    if there:
        new.directory.mkdir()

    with pytest.raises(Interrupted) as caught:
        tried(new, "dump.rdb", KeyboardInterrupt())

    assert "Nothing is left of it." in str(caught.value)
    assert there == new.directory.exists()
    assert not new.place("dump.rdb").exists()


def test_what_is_not_ours_is_left_and_named(tmp_path: Path) -> None:
    """What somebody else has put into a directory that was there stays, and the hint names it."""
    new = msgspec.structs.replace(NEW, directory=tmp_path)
    new.place("theirs").touch()

    with pytest.raises(Failed) as caught:
        tried(new, "valkey.conf", Failed("start-failed", "It ended.", "See above."))

    assert f"Left there: {tmp_path / 'theirs'}" in caught.value.hint
    assert ["theirs"] == [entry.name for entry in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--new x", "which port"),
        ("--new x --port 1 --to orders", "--to does not go with --new"),
        ("--new x --port 1 --replace", "--replace does not go with --new"),
        ("--to orders --port 1", "--port goes with --new DIR"),
        ("--new x --port 70000", "70000"),
        ("--new x --prot 1", "There is no option '--prot'"),
    ],
)
def test_flags_that_do_not_go_together_are_bad_usage(words: str, told: str) -> None:
    """What contradicts itself is refused before the daemon is asked for anything."""
    printed = typed("--socket", "/nowhere", "restore", "orders/nightly", *words.split())

    assert 2 == printed.code
    assert told in printed.err
    assert "`valkeep restore --help`" in printed.err
