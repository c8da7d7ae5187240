"""An example of each command, by its path: for the end of its help and for the manual.

Every line can be typed as it is by whoever has a cache called `shop` and a backup of it called
`nightly`; a test sees to it that the words are known.
"""

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "status": ("valkeep status", "valkeep status --json | jq .problems"),
    "check": ("valkeep check --quiet", "valkeep check shop"),
    "doctor": ("valkeep doctor",),
    "schedule": ("valkeep schedule", "valkeep schedule shop"),
    "cache add": (
        "valkeep cache add shop --url valkey://127.0.0.1:6379",
        "valkeep cache add shop --url valkeys://backup@cache-1:6380 --password-file /etc/valkeep/p",
    ),
    "cache list": ("valkeep cache list",),
    "cache remove": ("valkeep cache remove shop",),
    "cache set": ("valkeep cache set shop --copy-to second --bandwidth 20MB",),
    "cache show": ("valkeep cache show shop",),
    "policy set": (
        "valkeep policy set shop --auto --window 02:00+2h --timezone Europe/Paris",
        "valkeep policy set shop --retention-days 30 --retries 3",
    ),
    "policy show": ("valkeep policy show shop",),
    "backup create": (
        "valkeep backup create shop before-the-release --wait",
        "valkeep backup create shop --auto --wait",
    ),
    "backup list": ("valkeep backup list", "valkeep backup list shop --json"),
    "backup show": ("valkeep backup show shop/nightly",),
    "backup cancel": ("valkeep backup cancel shop/nightly",),
    "backup verify": ("valkeep backup verify shop/nightly --wait",),
    "backup import": (
        "valkeep backup import shop from-staging s3://team/rdb/dump.rdb --wait",
        "valkey-cli --rdb - | valkeep backup import shop by-pipe -",
    ),
    "backup delete": ("valkeep backup delete shop/nightly",),
    "backup copy": ("valkeep backup copy shop/nightly --to second",),
    "backup export": (
        "valkeep backup export shop/nightly s3://team/rdb --wait",
        "valkeep backup export shop/nightly - > dump.rdb",
    ),
    "backup diff": (
        "valkeep backup diff shop/nightly shop --keys 'cart:*'",
        "valkeep backup diff shop/nightly shop/before-the-release --names --limit 20",
    ),
    "backup ack": ("valkeep backup ack shop/nightly",),
    "restore": (
        "valkeep restore shop/nightly --to shop --plan",
        "valkeep restore shop/nightly --to shop --wait",
        "valkeep restore shop/nightly --to shop --keys 'cart:*' --on-conflict skip --wait",
        "valkeep restore shop/nightly --new /var/lib/shop --port 6380",
        "valkeep restore ./dump.rdb --to shop",
    ),
    "restore undo": ("valkeep restore undo shop --plan", "valkeep restore undo shop --wait"),
    "retention simulate": ("valkeep retention simulate shop --days 30",),
    "retention why": ("valkeep retention why shop/nightly",),
    "events": ("valkeep events --cache shop --follow",),
    "audit export": ("valkeep audit export > history.ndjson",),
    "audit verify": ("valkeep audit verify",),
    "recover": ("valkeep recover --plan", "valkeep recover --adopt"),
    "serve": ("valkeep serve --config /etc/valkeep/valkeep.toml",),
    "config check": ("valkeep config check /etc/valkeep/valkeep.toml",),
    "config init": ("valkeep config init > /etc/valkeep/valkeep.toml",),
    "completion": ('eval "$(valkeep completion bash)"',),
    "manual": ("valkeep manual > /usr/local/share/man/man1/valkeep.1",),
    "demo": ("valkeep demo",),
}


def with_examples(command: click.Command, path: str) -> None:
    """End the help of a command, and of those that it has itself, with its examples."""
    lines = EXAMPLES.get(path)
    if lines is not None:
        head = "Example:" if len(lines) == 1 else "Examples:"
        # Lines after this mark are not wrapped.
        command.epilog = "\n".join(["\b", head, *(f"  {line}" for line in lines)])
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            with_examples(below, f"{path} {name}")
