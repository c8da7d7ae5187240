"""`valkeep audit`: prove the history, through the daemon or on a log that no daemon has (L8)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.answers import TipView, VerdictView
from daemon.answers.underway import Underway
from daemon.cli import patient_question
from daemon.cli.desk import Desk, json_option
from daemon.cli.tree import Tree
from daemon.cli.words import plural
from daemon.errors import Failed

if TYPE_CHECKING:
    from events.envelope import Record

SHOWN_EACH = 5_000
_ALONE = "Compare the head with one kept elsewhere to be sure that no end is missing."

_file_option = click.option(
    "--file",
    "file",
    metavar="LOG",
    type=click.Path(path_type=Path),
    help="A log file that no daemon is using, instead of the daemon's.",
)


@click.group(cls=Tree)
def audit() -> None:
    """Prove that nobody has edited the history."""


@audit.command()
@_file_option
@json_option
@click.pass_obj
def verify(desk: Desk, file: Path | None) -> None:
    """Follow the chain of hashes from the first event to the last."""
    import msgspec  # noqa: PLC0415 - with the rest of the log's machinery

    if file is None:
        verdict, raw = patient_question.ask(desk, VerdictView, "/v1/audit/verify")
    else:
        with patient_question.showing(desk) as show:
            verdict = _on_stopped(file, show)
        raw = msgspec.json.encode(verdict)
    events = plural(verdict.records, "event")
    desk.show(
        raw,
        [
            f"The log is whole: {events}, each following from the one before.",
            f"  head  {verdict.hash} at position {verdict.position:,}",
            *map(_remembered, verdict.tips),
            *([] if any(tip.position for tip in verdict.tips) else [_ALONE]),
        ],
    )


def _remembered(tip: TipView) -> str:
    """What one vault says to it."""
    if tip.position is not None:
        return f"  vault {tip.vault} agrees: backup {tip.backup_id} knows event {tip.position:,}"
    return f"  vault {tip.vault} cannot say: {tip.unread or 'it has no backup of ours'}"


@audit.command()
@_file_option
@click.pass_obj
def export(desk: Desk, file: Path | None) -> None:
    """Print the whole log as NDJSON that anybody can check with SHA-256 alone."""
    if file is not None:
        _export_stopped(file)
        return
    with closing(desk.client.lines("/v1/audit/export")) as lines:
        for line in lines:
            click.echo(line, nl=False)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """What is wrong with a log, as an error of the command line."""
    from events.log import LogError  # noqa: PLC0415

    try:
        yield
    except LogError as error:
        raise Failed("log", error.message, error.hint) from None


def _on_stopped(file: Path, show: patient_question.Show) -> VerdictView:
    import anyio  # noqa: PLC0415 - slow to import, and only a stopped log needs it

    from events import audit as proof  # noqa: PLC0415
    from events.sqlite import open_stopped  # noqa: PLC0415

    async def counted(records: "AsyncIterator[Record]", total: int) -> "AsyncIterator[Record]":
        count = 0
        async for record in records:
            if count and not count % SHOWN_EACH:
                show(Underway("following the chain of events", count, total))
            count += 1
            yield record

    async def verified() -> VerdictView:
        async with open_stopped(file) as log, aclosing(log.read()) as records:
            total = (await log.head()).position
            verdict = await proof.verify(counted(records, total))
        return VerdictView(verdict.records, verdict.head_position, verdict.head_hash.hex())

    with _told_as_ours():
        return anyio.run(verified)


def _export_stopped(file: Path) -> None:
    import anyio  # noqa: PLC0415 - slow to import, and only a stopped log needs it

    from events import audit as proof  # noqa: PLC0415
    from events.sqlite import open_stopped  # noqa: PLC0415

    async def exported() -> None:
        async with (
            open_stopped(file) as log,
            aclosing(log.read()) as records,
            aclosing(proof.export(records)) as lines,
        ):
            async for line in lines:
                click.echo(line, nl=False)

    with _told_as_ours():
        anyio.run(exported)
