"""What a restore by keys means for people: its clients, its safety, what it leaves out.

Words only, each sentence tried on real servers. The figures are in the findings.
"""

from collections.abc import Iterator

from events.facts import TargetFacts
from events.moves import KeysWish
from projections.restore_plan import Offer


def clients(wish: KeysWish) -> tuple[str, ...]:
    """What the target's clients will see."""
    return tuple(_clients(wish))


def consequences(
    offer: Offer, wish: KeysWish, target: TargetFacts, *, dropped: int
) -> tuple[str, ...]:
    """What it leaves out, what happens if it fails, and what replicas do."""
    return tuple(_consequences(offer, wish, target, dropped))


def persistence(target: TargetFacts) -> str:
    """When the restored keys will survive a crash of the target (R6)."""
    server = target.server
    if server.aof:
        how = server.settings.get("appendfsync", "everysec")
        return f"The target writes an append-only file (appendfsync {how}): the keys are in it."
    if server.settings.get("save"):
        return (
            "The target is told to save when all keys are written (BGSAVE): the restore is "
            "complete when that has ended."
        )
    return "The target saves nothing by itself: the restored keys are in memory only."


def _clients(wish: KeysWish) -> Iterator[str]:
    yield "Nothing is frozen: reads and writes go on, and a key changes by one command."
    if wish.on_conflict == "replace":
        yield (
            "A key that is replaced has its old value, then its new one; what clients write to it "
            "before is lost."
        )
    else:
        yield "Keys that are there already are left as they are."


def _consequences(offer: Offer, wish: KeysWish, target: TargetFacts, dropped: int) -> Iterator[str]:
    yield "If it is cut off, what was written stays, and the command that is printed goes on."
    if offer.snapshot.server.functions:
        yield "Functions of the backup are not brought: they belong to no key."
    if wish.ttl == "shift":
        yield "Each key gets as long to live as it had when the backup was taken."
    if wish.ttl == "strip":
        yield "No key that is written ends by itself any more."
    if dropped:
        yield (
            f"{dropped:,} keys whose time is over are not brought: our engine drops them while it "
            "loads. Valkey 8.1 or newer beside Valkeep can keep them."
        )
    if target.server.replicas:
        yield f"The target's {target.server.replicas} replicas get each key by replication."
