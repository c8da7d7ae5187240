"""What a restore by replication leads to beside its data: failure, append-only file, replicas.

Words with figures, each tried on real servers; what clients see is told elsewhere.
"""

from collections.abc import Iterator

from events.facts import TargetFacts
from projections.load_mode import LoadMode, room_needed, too_tight


def consequences(target: TargetFacts, mode: LoadMode, backup_bytes: int) -> tuple[str, ...]:
    """In the order in which they come; `mode` is the one that the plan has chosen."""
    return (
        *_mode(target, mode, backup_bytes),
        *_failure(target, mode),
        *_append_only(target),
        *_replicas(target, backup_bytes),
    )


def _mode(target: TargetFacts, mode: LoadMode, backup_bytes: int) -> Iterator[str]:
    old = target.server.used_memory_bytes
    tight = too_tight(backup_bytes, target)
    if target.load_mode == "swapdb" and mode == "disabled" and tight is not None:
        yield (
            f"The target's own mode, swapdb, would take {backup_bytes + old:,} bytes of memory "
            f"({old:,} old and {backup_bytes:,} new), and {tight.whose} is {tight.size_bytes:,}: "
            "it loads in disabled mode this time."
        )
    elif target.load_mode not in ("swapdb", "disabled"):
        yield (
            f"The target's own mode, {target.load_mode}, gives up the old data before the new is "
            "whole: it loads in disabled mode this time."
        )
    both = room_needed("swapdb", backup_bytes=backup_bytes, target_bytes=old)
    if mode == "disabled" and target.server.settings.get("replica-lazy-flush") == "yes" and both:
        yield (
            "The old data is freed while the new loads (replica-lazy-flush yes): for a moment the "
            f"target may use more than one of them, at most {both:,} bytes."
        )


def _failure(target: TargetFacts, mode: LoadMode) -> Iterator[str]:
    yield (
        "If it fails before the target has all of it, the old data stays: the last 64 KiB are "
        "sent when everything is found right."
    )
    if mode == "swapdb":
        yield (
            "The old data is kept until the new is whole. If the target dies before that, it "
            "starts again with what its own files hold of the old data."
        )
    elif target.server.aof:
        yield (
            "The old data leaves the target's memory when it begins to load. If the target dies "
            "then, it starts again from its old append-only file, with the old data."
        )
    else:
        yield (
            "The old data leaves the target's memory when it begins to load, and its RDB file is "
            "the new one by then. If the target dies then, it starts again with the new data."
        )


def _append_only(target: TargetFacts) -> Iterator[str]:
    if not target.server.aof:
        return
    if target.aof_rewriting:
        yield (
            "The target rewrites its append-only file just now: that is given up when it begins "
            "to load, and begun anew with the new data."
        )
    yield (
        "Its append-only file is rewritten whole by a fork of the target; writes are refused "
        "until that has ended, and its disk needs the space for both files."
    )


def _replicas(target: TargetFacts, backup_bytes: int) -> Iterator[str]:
    server = target.server
    if server.replicas:
        many = server.replicas != 1
        needed = f" ({backup_bytes:,} bytes for the data)" if backup_bytes else ""
        yield (
            f"The target's {server.replicas} {'replicas stay' if many else 'replica stays'} "
            "attached and take everything anew from it, for which it forks once more. "
            f"Whether {'they have' if many else 'it has'} the memory{needed} and the disk for "
            "that cannot be seen from here, nor who follows them in turn."
        )
    wanted = server.settings.get("min-replicas-to-write", "0")
    if wanted not in ("", "0"):
        yield (
            f"min-replicas-to-write is {wanted} again afterwards: the target takes no writes "
            "until so many replicas are in step."
        )
