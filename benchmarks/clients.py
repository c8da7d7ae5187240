"""What a target's clients see while it is restored into, and for how long: `… clients`.

Not a row of the budgets: its figures are for docs/restore.md. Two clients ask without a pause,
one that reads and one that writes, while a backup is restored into the server that it came from.
"""

import json
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import anyio
from anyio import to_thread

from benchmarks.stage import Stage, stage
from tests.support.onlooker import Onlooker, Spell, watched
from tests.support.poll import until

SERVED = frozenset({"OK", "nothing"})
MODES = ("disabled", "swapdb")
WAIT_SECONDS = 60


def clients(total_bytes: int) -> None:
    """Restore so much data in each load mode, with and without AOF, and print what was seen."""
    with stage() as made:
        print(f"engine {made.engine.label}; {total_bytes / 1e6:,.0f} MB in values of 1 kB")
        made.fill(total_bytes)
        url = f"valkey://127.0.0.1:{made.port}"
        made.command(type="add-cache", name="watched", url=url, vault="directory")
        asked = made.command(type="request-backup", cache="watched", name="one")
        _ended(made, "backups", work_id=asked["backup_id"])
        for mode in MODES:
            for aof in ("no", "yes"):
                _set(made, mode, aof=aof)
                anyio.run(_seen, made, f"{mode}, appendonly {aof}")


def _set(made: Stage, mode: str, *, aof: str) -> None:
    made.ask("CONFIG", "SET", "repl-diskless-load", mode)
    made.ask("CONFIG", "SET", "appendonly", aof)
    while "aof_rewrite_in_progress:1" in (told := made.ask("INFO", "persistence")) or (
        "aof_rewrite_scheduled:1" in told
    ):
        pass


async def _seen(made: Stage, what: str) -> None:
    reads = Onlooker(made.port, "GET none")
    writes = Onlooker(made.port, "SET counter 1")
    async with watched(reads, writes):
        began = anyio.current_time()
        await to_thread.run_sync(partial(_restore, made))
        took = anyio.current_time() - began

        async def served() -> bool:
            return {reads.kinds[-1], writes.kinds[-1]} <= SERVED

        await until(served, "clients to be served again", deadline_seconds=WAIT_SECONDS)
    print(f"{what}: {took:.1f} s in all")
    for name, one in (("reads", reads), ("writes", writes)):
        longest = max(spell.longest_wait for spell in one.spells)
        print(f"  {name}: {_told(one.spells)}; longest wait for an answer {longest:.2f} s")


def _told(spells: Sequence[Spell]) -> str:
    """Each kind of refusal with its time: until the first answer of the next kind."""
    refused = [
        f"{spell.kind} {after.began - spell.began:.2f} s"
        for spell, after in pairwise(spells)
        if spell.kind not in SERVED
    ]
    return ", then ".join(refused) or "always served"


def _restore(made: Stage) -> None:
    """Without a safety backup: how long that takes is what a backup takes."""
    asked = made.command(
        type="request-restore",
        backup="watched/one",
        to="watched",
        replace=True,
        safety_backup=False,
    )
    _ended(made, "restores", work_id=asked["restore_id"])


def _ended(made: Stage, kind: str, *, work_id: str) -> None:
    """Wait until a backup or a restore has ended well."""
    one = kind.removesuffix("s")
    while True:
        found = json.loads(made.client.get(f"/v1/{kind}/{work_id}", {"wait": WAIT_SECONDS}))[one]
        if found["phase"] in ("complete", "completed"):
            return
        if found["phase"] in ("failed", "cancelled"):
            raise SystemExit(f"{one} {work_id} failed: {found.get('failure')}")
