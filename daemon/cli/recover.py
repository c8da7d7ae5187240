"""`valkeep recover`: bring back, from the vaults, what a lost or set back log no longer knows.

Shows first what would be done, and asks. Nothing in a vault is deleted by it.
"""

from collections.abc import Iterator

import click
import msgspec

from daemon.answers import Status
from daemon.answers.recovery import Recover, Recoverable, RecoveredAnswer, VaultFound
from daemon.cli import patient_question
from daemon.cli.desk import Desk, json_option
from daemon.cli.question import confirm
from daemon.cli.table import Column, table
from daemon.cli.words import age, plural, sentence, size
from daemon.errors import Away, Forbidden, Transient, Unreachable

SHOWN = 20
RESTART_SECONDS = 120
COLUMNS = (
    Column("FOUND"),
    Column("NAME"),
    Column("KIND", rank=2),
    Column("TAKEN"),
    Column("STORED", rank=1, right=True),
)


@click.command()
@click.option("--adopt", is_flag=True, help="Take over vaults that belong to another installation.")
@click.option("--vault", metavar="NAME", help="Look at this vault only.")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def recover(desk: Desk, *, adopt: bool, vault: str | None, plan_only: bool, yes: bool) -> None:
    """Register what the vaults hold and the log has lost.

    On a new host, with an empty log, --adopt also brings the history back, where the vault has a
    whole copy of it. Without a change the vaults stay as they are.
    """
    found, raw = patient_question.ask(desk, Recoverable, "/v1/recovery", {"vault": vault})
    if plan_only:
        desk.show(raw, page(desk, found))
        return
    for line in page(desk, found):
        desk.note(line)
    confirm(desk, _question(found, adopt=adopt), yes=yes)
    said = Recover(adopt=adopt, vault=vault)
    done, told = patient_question.ask(desk, RecoveredAnswer, "/v1/recovery", said=said)
    if done.imported:
        _wait_for_start(desk, done)
    desk.show(told, _done(done))


def page(desk: Desk, found: Recoverable) -> Iterator[str]:
    """What the vaults know, and what would become of it."""
    for one in found.vaults:
        yield from _vault(desk, found, one)
    if found.history is not None:
        yield (
            f"The log here is new: the copy in vault {found.history} would become the log, with "
            "its whole history, caches and policies."
        )
    elif found.why_not:
        yield sentence(
            f"The history itself cannot be brought back, only backups and caches: {found.why_not}"
        )


def _vault(desk: Desk, found: Recoverable, one: VaultFound) -> Iterator[str]:
    whose = "this installation's" if one.ours else f"of installation {one.owner}"
    if one.owner is None:
        whose = "nobody's yet"
    yield f"vault {one.vault} ({one.url}), {whose}: {plural(one.backups, 'backup')}"
    if one.log_position:
        whole = "whole" if one.log_whole else "not whole"
        yield (
            f"  its copy of the log ends at position {one.log_position:,}, written "
            f"{age(found.now, one.log_at)}; it is {whole}"
        )
    else:
        yield "  it has no copy of the log"
    if one.owner and not one.ours:
        yield (
            "  If the daemon of that host is still alive, stop it first: once the vault is taken "
            "over it can no longer write there."
        )
    if one.differs:
        yield f"  {one.differs}"
    if one.caches:
        yield f"  caches that it tells of: {', '.join(one.caches)}"
    if one.gone:
        yield f"  backups that were to go, and that the log here lists: {', '.join(one.gone)}"
    for trouble in one.trouble[:SHOWN]:
        yield f"  {desk.mark('!', colour='yellow')} {trouble}"
    yield from _unknown(desk, found, one)


def _unknown(desk: Desk, found: Recoverable, one: VaultFound) -> Iterator[str]:
    yield f"  backups that the log here does not know: {len(one.unknown):,}"
    rows = [
        (
            view.backup_id,
            f"{view.cache}/{view.name}",
            view.kind,
            age(found.now, view.taken_at),
            size(view.stored_bytes),
        )
        for view in one.unknown[-SHOWN:]
    ]
    yield from (f"    {line}" for line in table(COLUMNS, rows, desk.width - 4))
    if len(one.unknown) > SHOWN:
        yield f"    … and {len(one.unknown) - SHOWN:,} older ones"


def _question(found: Recoverable, *, adopt: bool) -> str:
    foreign = [one.vault for one in found.vaults if one.owner and not one.ours]
    if adopt and foreign:
        return (
            f"Vault {', '.join(foreign)} will be this installation's, and what it knows its log's"
        )
    return "What the vaults know will be registered in the log; nothing is deleted"


def _done(done: RecoveredAnswer) -> Iterator[str]:
    yield f"Recovered from {', '.join(done.vaults)}: {plural(done.backups, 'backup')}."
    if done.imported:
        yield f"The history is back up to position {done.imported:,}."
    if done.caches:
        yield f"Caches: {', '.join(done.caches)}."
    yield "Retention deletes nothing for a day: look at `valkeep status` and `valkeep backup list`."


def _wait_for_start(desk: Desk, done: RecoveredAnswer) -> None:
    """The daemon starts again on its recovered log; wait until that one answers."""
    import anyio  # noqa: PLC0415 - slow to import, and only wanted here

    async def until_there() -> None:
        for _ in range(RESTART_SECONDS * 4):
            try:
                status = msgspec.json.decode(desk.client.get("/v1/status"), type=Status)
                if status.log.position > done.imported:
                    return
            except (Away, Unreachable, Forbidden):
                pass
            await anyio.sleep(0.25)
        raise Transient(
            "not-back",
            "The log is recovered, but the daemon has not started again on it yet.",
            "Its own log says why: `journalctl -u valkeep`; starting it again takes the new log.",
        )

    anyio.run(until_there)
