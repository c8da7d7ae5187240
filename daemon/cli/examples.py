"""An example of each command, by its path: for the end of its help and for the manual.

Every line can be typed as it is by whoever has a cache called `orders` and such backups of it; a
test sees to it that the words are known.
"""

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "status": (
        "valkeep status",
        "valkeep status orders",
        "valkeep status --watch --interval 5",
        "valkeep status --json | jq .problems",
    ),
    "check": ("valkeep check --quiet", "valkeep check orders"),
    "doctor": ("valkeep doctor",),
    "schedule": ("valkeep schedule", "valkeep schedule orders"),
    "cache add": (
        "valkeep cache add orders --url valkey://127.0.0.1:6379",
        "valkeep cache add orders --url valkey://c1 --auto --window 02:00+2h",
    ),
    "cache list": ("valkeep cache list",),
    "cache remove": ("valkeep cache remove orders",),
    "cache set": (
        "valkeep cache set orders --url valkey://10.0.0.7:6379 --retries 5",
        "valkeep cache set orders --copy-to second --bandwidth 20MB",
    ),
    "cache show": ("valkeep cache show orders",),
    "policy set": (
        "valkeep policy set orders --auto --window 02:00+2h --timezone Europe/Paris",
        "valkeep policy set orders --retention-days 30 --retries 3",
    ),
    "policy show": ("valkeep policy show orders",),
    "backup create": (
        "valkeep backup create orders before-upgrade --wait",
        "valkeep backup create orders before-upgrade --timeout 10m --json",
        "valkeep backup create orders --auto",
    ),
    "backup list": ("valkeep backup list", "valkeep backup list orders --json"),
    "backup show": (
        "valkeep backup show orders/nightly",
        "valkeep backup show orders/nightly --keys",
    ),
    "backup cancel": ("valkeep backup cancel orders/nightly",),
    "backup verify": (
        "valkeep backup verify orders/before-upgrade",
        "valkeep backup verify 20260301T0200 --quick",
        "valkeep backup verify orders/before-upgrade --from second",
    ),
    "backup import": (
        "valkeep backup import orders from-old-host /tmp/dump.rdb --wait",
        "valkeep backup import orders from-s3 s3://team/rdb/orders.rdb",
        "zstd -dc orders.rdb.zst | valkeep backup import orders from-pipe -",
    ),
    "backup delete": (
        "valkeep backup delete orders/nightly",
        "valkeep backup delete orders/nightly --yes --timeout 10m",
    ),
    "backup copy": ("valkeep backup copy orders/nightly --to second",),
    "backup export": (
        "valkeep backup export orders/nightly s3://team-bucket/rdb --wait",
        "valkeep backup export orders/nightly warehouse",
        "valkeep backup export orders/nightly file:///srv/rdb",
        "valkeep backup export orders/nightly - | valkey-check-rdb /dev/stdin",
    ),
    "backup diff": (
        "valkeep backup diff orders/monday orders/tuesday",
        "valkeep backup diff orders/monday orders --keys 'basket:*' --names",
        "valkeep backup diff orders/monday orders/tuesday --names --limit 0 --json",
    ),
    "backup ack": ("valkeep backup ack orders/nightly",),
    "restore": (
        "valkeep restore orders/nightly --to orders --plan",
        "valkeep restore orders/nightly --to orders --wait",
        "valkeep restore orders/nightly --to orders --keys 'cart:*' --plan",
        "valkeep restore orders/nightly --new /var/lib/orders --port 6380",
        "valkeep restore ./dump.rdb --to orders",
    ),
    "restore undo": ("valkeep restore undo orders --plan", "valkeep restore undo orders --wait"),
    "retention simulate": ("valkeep retention simulate orders --days 30",),
    "retention why": ("valkeep retention why orders/nightly",),
    "report": (
        "valkeep report --html backups.html",
        "valkeep report --cache orders --days 90 --html orders.html",
    ),
    "hooks list": ("valkeep hooks list",),
    "hooks run": (
        "valkeep hooks run pause-queue --cache orders --dry-run",
        "valkeep hooks run warm-up --cache orders --outcome failed",
    ),
    "notify list": ("valkeep notify list",),
    "notify test": ("valkeep notify test", "valkeep notify test oncall"),
    "usage": (
        "valkeep usage",
        "valkeep usage --month 2026-03 --cache orders",
        "valkeep usage --months 12 --csv > usage.csv",
    ),
    "events": ("valkeep events --cache orders --follow",),
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
