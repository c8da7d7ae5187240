"""The flags that say a policy, for `policy set` and for `cache add` and `set`.

Knows how a change is written, and nothing of what is allowed: the daemon judges it.
"""

from collections.abc import MutableMapping

import click
import msgspec

from daemon.cli.desk import F
from daemon.commands import PolicyChange

FLAGS = (
    "auto",
    "retention_days",
    "retries",
    "windows",
    "no_windows",
    "timezone",
    "keep_last",
    "suspect_drop_percent",
    "verify",
)


_verify = click.option(
    "--verify",
    type=click.Choice(["always", "daily", "never"]),
    help="Which auto backups are proven to load: each, the first of a day, none.",
)


def policy_options(command: F) -> F:
    """All flags of a policy; `change_of` reads them."""
    for option in (
        click.option(
            "--suspect-drop-percent",
            type=int,
            metavar="N",
            help="A scheduled backup that falls by more than N %% is suspect, 0 to 100; 0: none.",
        ),
        click.option(
            "--keep-last",
            type=int,
            metavar="N",
            help="The newest N that retention never deletes, 0 to 730.",
        ),
        _verify,
        click.option("--retries", type=int, metavar="N", help="Tries after a failure, 0 to 10."),
        click.option(
            "--retention-days",
            type=int,
            metavar="N",
            help="Days that an auto backup is kept, 1 to 730.",
        ),
        click.option(
            "--timezone", metavar="TZ", help="Whose clocks windows go by, as Europe/Paris."
        ),
        click.option("--no-windows", is_flag=True, help="Take all windows away."),
        click.option(
            "--window",
            "windows",
            metavar="HH:MM+LENGTH",
            multiple=True,
            help="Begin one backup in each, every day, as 02:00+2h. Repeat it for more; "
            "together they replace the windows there were.",
        ),
        click.option("--auto/--no-auto", default=None, help="Whether backups are made by itself."),
    ):
        command = option(command)
    return command


def change_of(given: MutableMapping[str, object]) -> PolicyChange | None:
    """The change that the flags say, taken out of what was given; None if they say nothing."""
    said = {name: given.pop(name) for name in FLAGS}
    windows, none_wanted = said.pop("windows"), said.pop("no_windows")
    if windows and none_wanted:
        raise click.UsageError("--window and --no-windows exclude each other.")
    if windows or none_wanted:
        said["windows"] = windows
    change = msgspec.convert(said, PolicyChange)
    return None if change == PolicyChange() else change
