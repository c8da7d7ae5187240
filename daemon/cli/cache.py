"""`valkeep cache`: add, set, list, show, remove."""

import os
from collections.abc import Callable, Mapping

import click
import msgspec

from daemon.answers import Accepted, Backups, CacheDetail, Caches, CacheView
from daemon.answers.policy import PolicyDetail
from daemon.cli import follow
from daemon.cli.cache_page import found_lines, page
from daemon.cli.desk import Desk, F, json_option
from daemon.cli.patience import wait_options
from daemon.cli.policy import changed, planned, told
from daemon.cli.policy_flags import change_of, policy_options
from daemon.cli.question import confirm
from daemon.cli.table import Column, table
from daemon.cli.tree import Tree
from daemon.cli.words import age, plural, size
from daemon.client import path_of
from daemon.commands import AddCache, RemoveCache, SetCache

COLUMNS = (
    Column("CACHE"),
    Column("URL", rank=2),
    Column("NEWEST BACKUP", rank=1),
    Column("TAKEN"),
    Column("BACKUPS", right=True),
    Column("STORED", rank=3, right=True),
    Column("NOTE"),
)


FILES = ("password_file", "tls_ca_file", "tls_cert_file", "tls_key_file")
"""Settings that name a file which the daemon reads."""


def _tls_options() -> tuple[Callable[[F], F], ...]:
    return (
        click.option(
            "--tls-server-name",
            metavar="NAME",
            help="The name in the server's certificate, if it is not the URL's host.",
        ),
        click.option("--tls-key-file", metavar="FILE", help="The key of our own certificate."),
        click.option(
            "--tls-cert-file",
            metavar="FILE",
            help="Our own certificate, for a server that wants one of its clients.",
        ),
        click.option(
            "--tls-ca-file",
            metavar="FILE",
            help="Who signs the server's certificate; without it, whom the system trusts.",
        ),
    )


def _vault_options() -> tuple[Callable[[F], F], ...]:
    """Where its backups go, and how fast."""
    return (
        click.option(
            "--bandwidth",
            metavar="RATE",
            help="The most its backups send to the vault: 20MB, 12.5MiB/s; 0 for no limit.",
        ),
        click.option(
            "--copy-to", metavar="VAULT", help="A second vault that they are copied to, or none."
        ),
        click.option("--vault", help="Where its backups go."),
    )


def _settings_options(command: F) -> F:
    """The flags that `add` and `set` have in common."""
    for option in (
        click.option(
            "--no-probe",
            "probe",
            is_flag=True,
            default=True,
            flag_value=False,
            help="Record it without a look at it.",
        ),
        click.option(
            "--node",
            type=click.Choice(["prefer-replica", "replica", "primary"]),
            help="Which node of a primary with replicas.",
        ),
        click.option(
            "--source",
            type=click.Choice(["auto", "bgsave", "replication"]),
            help="How snapshots are taken.",
        ),
        *_vault_options(),
        *_tls_options(),
        click.option(
            "--password-env",
            metavar="NAME",
            help="The daemon's environment variable that holds the password.",
        ),
        click.option(
            "--password-file",
            metavar="FILE",
            help="The file that holds the password; the daemon reads it.",
        ),
    ):
        command = option(command)
    return command


@click.group("cache", cls=Tree)
def cache() -> None:
    """Put caches under backup, change, list, show and remove them."""


@cache.command()
@click.argument("name")
@click.option(
    "--url", required=True, help="valkey://[USER@]HOST[:PORT], valkeys:// for TLS, or unix:///PATH."
)
@_settings_options
@policy_options
@json_option
@click.pass_obj
def add(desk: Desk, /, **given: object) -> None:
    """Put a cache under backup as NAME, after a look at it."""
    policy = change_of(given)
    request = msgspec.convert({**_said(given), "policy": policy}, AddCache)
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    lines = _recorded(answer, f"Cache {request.name} is added.", desk.width)
    desk.show(raw, [*lines, *(told(desk, request.name) if policy else ())])


@cache.command("set")
@click.argument("name")
@click.option("--url", help="valkey://[USER@]HOST[:PORT], valkeys:// for TLS, or unix:///PATH.")
@_settings_options
@policy_options
@click.option("--yes", is_flag=True, help="Do not ask, whatever retention deletes at once.")
@json_option
@click.pass_obj
def set_cache(desk: Desk, /, *, yes: bool, **given: object) -> None:
    """Change how NAME is reached, where its backups go, or when they are made.

    An empty text takes a setting away. Without any setting but those of the policy this is
    `valkeep policy set`.
    """
    policy = change_of(given)
    said = _said(given)
    bare = not said.keys() - {"name", "probe"}
    if policy is None and bare:
        raise click.UsageError("Nothing to set: give at least one setting.")
    request = msgspec.convert({**said, "policy": policy}, SetCache)
    if policy is not None and bare:
        desk.show(*changed(desk, request.name, policy, yes=yes))
        return
    if policy is not None:
        planned(desk, request.name, policy, yes=yes)
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    lines = _recorded(answer, f"Cache {request.name} is changed.", desk.width)
    desk.show(raw, [*lines, *(told(desk, request.name) if policy else ())])


def _said(given: Mapping[str, object]) -> dict[str, object]:
    """The flags that were given; a relative path becomes what the daemon has to see.

    Links stay links: they may point elsewhere by the time the daemon looks.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if said.get("copy_to") == "none":
        said["copy_to"] = ""
    for name in FILES:
        path = said.get(name)
        if isinstance(path, str) and path:
            said[name] = os.path.abspath(path)  # noqa: PTH100 - pathlib keeps ".."
    return said


def _recorded(answer: Accepted, told: str, width: int) -> list[str]:
    if answer.probe is None:
        return [told, "  It was not looked at."]
    return [told, *found_lines(answer.probe, width, indent="  ")]


@cache.command("list")
@json_option
@click.pass_obj
def list_caches(desk: Desk) -> None:
    """List all caches."""
    found, raw = desk.ask(Caches, "/v1/caches")
    if not found.caches:
        desk.show(raw, ["There are no caches yet. `valkeep cache add NAME --url …` adds one."])
        return
    desk.show(raw, table(COLUMNS, [_row(found, view) for view in found.caches], desk.width))


def _row(found: Caches, view: CacheView) -> tuple[str, ...]:
    newest = view.newest
    note = "suspended" if view.suspended else "last one failed" if view.failed else ""
    return (
        view.name,
        view.settings.url,
        newest.name if newest else "-",
        age(found.now, newest.taken_at if newest else None),
        f"{view.backups:,}",
        size(view.stored_bytes),
        note,
    )


@cache.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(desk: Desk, name: str) -> None:
    """Show all that is known of the cache NAME."""
    detail, raw = desk.ask(CacheDetail, path_of("caches", name))
    policy: PolicyDetail | None = None
    if not desk.as_json:
        policy, _ = desk.ask(PolicyDetail, path_of("caches", name, "policy"))
    desk.show(raw, page(detail, policy.policy if policy else None, desk.width))


@cache.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options(default=False)
@json_option
@click.pass_obj
def remove(desk: Desk, /, *, name: str, yes: bool, wait: bool, timeout: float | None) -> None:
    """Remove the cache NAME: its automatic backups are deleted, manual ones stay.

    --wait stays until the bytes of all that is deleted are gone.
    """
    desk.ask(CacheDetail, path_of("caches", name))
    found, _ = desk.ask(Backups, "/v1/backups", cache=name)
    going = [view for view in found.backups if view.kind != "manual"]
    staying = len(found.backups) - len(going)
    for view in going:
        desk.note(f"will be deleted: {view.cache}/{view.name} ({view.kind}, {view.backup_id})")
    desk.note(f"{plural(staying, 'manual backup')} will stay, until deleted one by one.")
    told = f"Cache {name} will be removed, and {plural(len(going), 'backup')} with it"
    confirm(desk, told, yes=yes)
    answer, raw = desk.tell(Accepted, "/v1/commands", RemoveCache(name=name))
    if wait:
        what, see = f"Deleting what was {name}'s", "valkeep status"
        follow.deletions(desk, answer.deleted_backup_ids, follow.Stay(what, see, timeout))
    desk.show(raw, [f"Cache {name} is removed."])
