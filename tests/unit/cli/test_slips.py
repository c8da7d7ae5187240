"""Slips of the finger, in every command there is: each is told, with what was probably meant."""

import json
from collections.abc import Iterator

import click
import pytest

from daemon.cli.main import cli
from daemon.cli.patience import seconds_of
from daemon.cli.undo import undo
from daemon.near import nearest
from tests.support.api import serving, typed
from tests.support.samples import B1, complete, registered

pytestmark = pytest.mark.anyio

FREE = ("completion", "manual", "serve", "demo")
"""Commands whose words are no names of the daemon's."""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command there is, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
    if path == ():
        yield ("restore", "undo")


def command_at(path: tuple[str, ...]) -> click.Command:
    """The command that these words name."""
    if path == ("restore", "undo"):
        return undo
    found: click.Command = cli
    for word in path:
        if isinstance(found, click.Group):
            below = found.get_command(click.Context(found), word)
            assert below is not None, path
            found = below
    return found


ALL = sorted(set(commands(cli)))


def slip(word: str) -> str:
    """The word with one letter too many in it."""
    return f"{word[:-1]}{word[-1]}{word[-1]}q"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_slip_in_a_command_is_told_with_the_nearest(path: tuple[str, ...]) -> None:
    """Every command that is misspelled is suggested, on exit 2, in the one form of errors."""
    printed = typed(*path[:-1], slip(path[-1]), *(["orders"] if path[0] == "restore" else []))

    assert 2 == printed.code
    assert printed.err.startswith("error: ")
    if path != ("restore", "undo"):
        assert f"Did you mean '{path[-1]}'?" in printed.err
    assert "hint: " in printed.err
    assert "" == printed.out


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_slip_in_an_option_is_told_with_the_nearest(path: tuple[str, ...]) -> None:
    """Every option of every command is suggested where it is misspelled."""
    context = click.Context(command_at(path))
    options = [
        name
        for param in context.command.get_params(context)
        if isinstance(param, click.Option)
        for name in (*param.opts, *param.secondary_opts)
        if name.startswith("--")
    ]
    for option in options:
        printed = typed(*path, slip(option))

        assert 2 == printed.code
        assert f"There is no option '{slip(option)}'." in printed.err
        assert "Did you mean '--" in printed.err, printed.err


def named() -> Iterator[tuple[str, ...]]:
    """Every command whose argument or option names a cache, a backup or a vault, with a slip."""
    for path in ALL:
        command = command_at(path)
        if isinstance(command, click.Group) or path[0] in FREE:
            continue
        words = {
            (param.metavar or param.name or "").upper(): param
            for param in command.params
            if isinstance(param, click.Argument)
        }
        if path == ("cache", "add"):
            continue
        if "CACHE" in words or (path[0] == "cache" and "NAME" in words):
            yield (*path, "ordrs")
        if "BACKUP" in words:
            yield (*path, "orders/nihgtly")


MORE = {
    "backup create": "x",
    "backup import": "x s3://bucket/key",
    "backup export": "main",
    "backup diff": "orders",
    "policy set": "--auto",
    "cache set": "--node primary",
}
"""What a command wants beside the name."""


@pytest.mark.parametrize("words", sorted(named()), ids=" ".join)
async def test_a_slip_in_a_name_is_told_with_the_nearest(words: tuple[str, ...]) -> None:
    """Each argument that names a cache or a backup is met with the nearest that there is."""
    more = MORE.get(" ".join(words[:-1]), "").split()
    async with serving(registered(), complete(B1, name="nightly")) as api:
        printed = await api.type(*words, *more)

    near = "orders/nightly" if "/" in words[-1] else "orders"
    told = printed.out if words[0] == "check" else printed.err
    assert (3 if words[0] == "check" else 4) == printed.code
    assert f"id you mean '{near}'?" in told


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("restore orders/nightly --to ordrs", 4, "Did you mean 'orders'?"),
        ("restore orders/nihgtly --to orders", 4, "Did you mean 'orders/nightly'?"),
        ("restore orders/nightly --to orders --from mian", 4, "Did you mean 'main'?"),
        ("restore orders/nightly --to orders --force memmory", 2, "Did you mean 'memory'?"),
        ("restore orders/nightly --to orders --ttl stirp", 2, "Did you mean 'strip'?"),
        ("restore undo orders --method kyes", 2, "Did you mean 'keys'?"),
        ("backup copy orders/nightly --to mian", 4, "Did you mean 'main'?"),
        ("backup diff orders/nightly ordrs", 4, "Did you mean 'orders'?"),
        ("backup show nightly", 4, "Did you mean 'orders/nightly'?"),
        ("events --cache ordrs", 4, "Did you mean 'orders'?"),
        ("events --cache ordrs --follow", 4, "Did you mean 'orders'?"),
        ("cache add shop --url valkey://h --vault mian", 4, "Did you mean 'main'?"),
        ("cache set orders --copy-to mian", 4, "Did you mean 'main'?"),
        ("policy set orders --verify alway", 2, "Did you mean 'always'?"),
        ("policy set orders --auto --timezone Europe/Pari", 2, "Did you mean 'Europe/Paris'?"),
        ("policy set orders --auto --window 2:00-4:00", 2, "Did you mean '02:00+2h'?"),
        ("completion bsh", 2, "Did you mean 'bash'?"),
        ("cache show ORDERS", 4, "Did you mean 'orders'?"),
        ("backup create", 2, "CACHE is missing"),
        ("cache add shop", 2, "--url is missing"),
        ("cache show ''", 2, "is no name"),
        ("events --last x", 2, "--last: 'x' is no whole number"),
        ("events --cache", 2, "`valkeep events --help`"),
    ],
)
async def test_slips_in_values(words: str, code: int, told: str) -> None:
    """A wrong value is told with the option that it was given to and with what was meant."""
    async with serving(registered(), complete(B1, name="nightly")) as api:
        printed = await api.type(*("" if word == "''" else word for word in words.split()))

    assert code == printed.code
    assert told in printed.err
    assert "" == printed.out


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ordres", "orders"),
        ("ORDERS", "orders"),
        ("nightly", "shop/nightly"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_is_told_only_if_it_is_near(name: str, near: str | None) -> None:
    """Case does not matter, the last part of a name may stand for all, and nothing is forced."""
    assert near == nearest(name, ["shop/nightly", "orders", "basket"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("10min", 600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("2D", 172_800),
        ("0", 0),
        ("", None),
        ("x", None),
        ("10x", None),
        ("-5", None),
        ("1 m 5", None),
    ],
)
def test_spans_of_time(text: str, seconds: float | None) -> None:
    """A span is seconds, or numbers with their units; anything else is none."""
    assert seconds == seconds_of(text)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ("backup lst --json", 2, "usage"),
        ("backup list ordrs --json", 4, "unknown-cache"),
        ("backup create orders nightly --json", 3, "backup-exists"),
        ("backup delete orders/nightly --json", 2, "not-confirmed"),
    ],
)
async def test_errors_are_json_where_json_is_wanted(words: str, code: int, error: str) -> None:
    """With --json the error is one line of JSON on stderr, in the words of the API."""
    async with serving(registered(), complete(B1, name="nightly")) as api:
        printed = await api.type(*words.split())

    assert (code, "") == (printed.code, printed.out)
    (line,) = printed.err.splitlines()
    told = json.loads(line)["error"]
    assert ({"code", "message", "hint"}, error) == (told.keys(), told["code"])


def test_no_daemon_is_json_as_well() -> None:
    """Also that nobody answers, with exit 5."""
    printed = typed("--socket", "/nowhere/s", "status", "--json")

    assert 5 == printed.code
    assert "unreachable" == json.loads(printed.err)["error"]["code"]


@pytest.mark.parametrize("group", ["", "cache", "policy", "backup", "retention", "audit", "config"])
def test_a_group_alone_shows_what_there_is(group: str) -> None:
    """A command that needs another word shows its help on stderr, and exits with 2."""
    printed = typed(*group.split())

    assert (2, "") == (printed.code, printed.out)
    assert printed.err.startswith("Usage: valkeep")
    assert "error:" not in printed.err


def waiting() -> Iterator[tuple[str, ...]]:
    """Every command that can wait, with a word for each argument."""
    for path in ALL:
        params = command_at(path).params
        if any("--wait" in param.opts for param in params):
            yield (*path, *("x" for param in params if isinstance(param, click.Argument)))


def test_what_takes_long_can_be_waited_for() -> None:
    """Each command that asks the daemon for long work has --wait and --timeout, told alike."""
    paths = [tuple(word for word in words if word != "x") for words in waiting()]
    told = {
        (param.opts[0], (param.help or "")[:40])
        for path in paths
        for param in command_at(path).params
        if isinstance(param, click.Option) and param.opts[0] in ("--wait", "--timeout")
    }

    backups = {
        ("backup", word) for word in ("create", "copy", "verify", "export", "import", "diff")
    }
    assert backups | {("restore",), ("restore", "undo")} <= set(paths)
    assert 2 == len(told), told


@pytest.mark.parametrize("words", list(waiting()), ids=" ".join)
def test_a_timeout_is_a_wait(words: tuple[str, ...]) -> None:
    """--timeout with --no-wait contradicts itself, in every command in the same words."""
    printed = typed("--socket", "/nowhere/s", *words, "--no-wait", "--timeout", "5m")

    assert 2 == printed.code
    assert "--timeout is how long to wait, and --no-wait says not to." in printed.err


async def test_a_timeout_alone_waits() -> None:
    """Nobody has to say --wait beside --timeout; when the time is over that is exit 1."""
    async with serving(registered()) as api:
        printed = await api.type("backup", "create", "orders", "x", "--timeout", "0s", "--json")

    assert (1, "wait-timeout") == (printed.code, json.loads(printed.err)["error"]["code"])
