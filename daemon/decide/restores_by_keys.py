"""What is decided otherwise for a restore by keys: wishes, what it overwrites, going on with it."""

from collections.abc import Iterator

from daemon.commands import RequestRestore
from daemon.errors import BadRequest
from events.facts import Failure, RestorePlan
from events.moves import KeysWish, RestoreMethod
from projections.restores import Restore

FORCIBLE = frozenset({"databases", "modules"})
"""Blockers that ``--force`` overrides only with keys (R2)."""


def forcible(method: RestoreMethod, others: frozenset[str]) -> frozenset[str]:
    """The blockers that may be forced by this method."""
    return others | FORCIBLE if method == "keys" else others


def wished(command: RequestRestore) -> KeysWish | None:
    """Which keys go over, by that method; raises `BadRequest` for what cannot be meant."""
    wish = command.keys
    if command.method != "keys":
        if wish is not None:
            raise BadRequest(
                "keys", "A restore by replication takes all keys.", 'Say "method": "keys".'
            )
        return None
    wish = wish or KeysWish()
    if "" in wish.patterns:
        raise BadRequest("keys", "A pattern of keys is empty.", "Say --keys '*' for all keys.")
    if wish.database is not None and wish.database < 0:
        raise BadRequest("db", f"There is no database {wish.database}.", "Databases begin at 0.")
    if wish.keys_per_second < 0:
        raise BadRequest("rate", "The rate is below 0.", "0 writes as fast as the target takes it.")
    return wish


def overwrites(restore: Restore, plan: RestorePlan) -> Failure | None:
    """Why nothing is written: keys would be replaced, and nobody has said that they may (R3)."""
    wish, found = restore.keys, plan.keys
    if wish is None or wish.on_conflict != "replace" or restore.replace or found is None:
        return None
    if not found.existing:
        return None
    return Failure(
        code="not-empty",
        message=f"The cache {restore.target!r} holds {found.existing:,} of the keys already.",
        hint="Add --replace to overwrite them; a safety backup is made first.",
        permanent=True,
    )


def kept(restore: Restore) -> tuple[str, ...]:
    """What is to be known of what a restore by keys leaves behind when it is cut off (R7)."""
    if restore.keys is None or restore.phase != "started":
        return ()
    lines = ["The keys that were written stay on the target; nothing of them is undone."]
    if restore.keys.on_conflict == "replace":
        lines.append(
            "The command goes over all keys again, and replaces also what clients have written "
            "since. With --on-conflict skip it would leave that, and old values that the restore "
            "had not come to yet."
        )
    return tuple(lines)


def again(restore: Restore) -> str:
    """The words of the command that goes on with it, after all others."""
    wish = restore.keys
    return "" if wish is None else "".join(f" {word}" for word in _words(restore, wish))


def _words(restore: Restore, wish: KeysWish) -> Iterator[str]:
    yield "--method keys"
    yield from (f"--keys {_quoted(pattern)}" for pattern in wish.patterns)
    if wish.database is not None:
        yield f"--db {wish.database}"
    # What was not to be there before it began may be our own now.
    begun = restore.phase == "started" and wish.on_conflict == "fail"
    yield f"--on-conflict {'skip' if begun else wish.on_conflict}"
    if wish.ttl != "keep":
        yield f"--ttl {wish.ttl}"
    if wish.rename_prefix:
        yield f"--rename-prefix {_quoted(wish.rename_prefix)}"
    if wish.keys_per_second:
        yield f"--rate {wish.keys_per_second}"
    if restore.replace:
        yield "--replace"


def _quoted(word: str) -> str:
    """As a shell takes it for one word, whatever is in it."""
    return "'" + word.replace("'", "'\\''") + "'"
