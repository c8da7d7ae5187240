"""The part of `valkeep restore` that is about single keys: its flags, its plan, its result."""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Literal

import click
import msgspec
from msgspec import Struct

from daemon.cli.words import plural
from daemon.errors import BadRequest
from events.facts import RestorePlan, RestoreResult
from events.moves import KeysMoved, KeysWish, OnConflict, RestoreMethod, TtlTreatment

Method = Literal["replication", "keys"]

_OPTIONS = (
    click.option(
        "--method",
        type=click.Choice(["replication", "keys"]),
        help="All at once by replication, or key by key; any of the flags below means keys.",
    ),
    click.option(
        "--keys",
        "patterns",
        metavar="PATTERN",
        multiple=True,
        help="Only keys that fit this glob; may be repeated. '*' for all keys.",
    ),
    click.option("--db", "database", type=click.IntRange(0), help="Only keys of this database."),
    click.option(
        "--on-conflict",
        type=click.Choice(["replace", "skip", "fail"]),
        help="What to do with keys that are there already; by default write nothing at all.",
    ),
    click.option(
        "--ttl",
        type=click.Choice(["keep", "shift", "strip"]),
        help="Keys end when they would have, as long after now as after the backup, or never.",
    ),
    click.option("--rename-prefix", metavar="TEXT", help="Put this before the name of each key."),
    click.option(
        "--rate",
        type=click.IntRange(0),
        metavar="N",
        help="Write no more than so many keys a second; 0 for as many as the target takes.",
    ),
)


class KeysFlags(Struct, frozen=True, kw_only=True):
    """What the caller has said about keys."""

    method: RestoreMethod | None = None
    patterns: tuple[str, ...] = ()
    database: int | None = None
    on_conflict: OnConflict | None = None
    ttl: TtlTreatment | None = None
    rename_prefix: str | None = None
    rate: int | None = None

    @property
    def keys(self) -> KeysWish | None:
        """The wish, if keys are to go over one by one; raises `BadRequest` for a contradiction."""
        said = (self.database, self.on_conflict, self.ttl, self.rename_prefix, self.rate)
        some = bool(self.patterns) or any(one is not None for one in said)
        if self.method == "replication" and some:
            raise BadRequest(
                "method",
                "Replication brings all keys as they are: no flag about keys goes with it.",
                "Leave --method replication out.",
            )
        if not some and self.method != "keys":
            return None
        return KeysWish(
            patterns=self.patterns,
            database=self.database,
            on_conflict=self.on_conflict or "fail",
            ttl=self.ttl or "keep",
            rename_prefix=self.rename_prefix or "",
            keys_per_second=self.rate or 0,
        )


def keys_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags about keys."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def without_keys(given: Mapping[str, object], *, instead: str) -> None:
    """Refuse what is about keys for a restore that brings the whole, as that flag says."""
    flags = msgspec.convert(given, KeysFlags)
    if flags.method is not None or flags.keys is not None:
        raise BadRequest(
            "method",
            f"{instead} brings the backup as it is: no flag about keys goes with it.",
            "Restore the keys into a cache: --to CACHE.",
        )


def overwritten(plan: RestorePlan, wish: KeysWish) -> int:
    """How many keys of the target would get another value."""
    if wish.on_conflict != "replace" or plan.keys is None:
        return 0
    return plan.keys.existing


def plan_pairs(plan: RestorePlan) -> Iterator[tuple[str, str]]:
    """Lines of the plan's facts that only a restore by keys has."""
    found = plan.keys
    if found is None:
        return
    yield "chosen", plural(found.chosen, "key")
    there = f"{found.existing:,} of them are" if found.existing else "none of them is"
    yield "existing", f"{there} on the target already"
    if found.expired:
        yield "expired", f"{found.expired:,} of them have ended since, and are not brought"
    if found.skipped:
        yield "skipped", f"{found.skipped:,}, left as they are"
    yield "to write", plural(found.written, "key")


def result_pairs(result: RestoreResult) -> Iterator[tuple[str, str]]:
    """Lines of the result's facts that only a restore by keys has."""
    moved = result.moved
    if moved is None:
        return
    yield "written", f"{moved.written:,} of {plural(moved.chosen, 'chosen key')}"
    yield "skipped", f"{moved.skipped:,}, there already" if moved.skipped else ""
    yield "expired", f"{moved.expired:,}, not brought" if moved.expired else ""
    yield "large", f"{moved.by_element:,}, written by element" if moved.by_element else ""


def refused_lines(moved: KeysMoved | None) -> Iterator[str]:
    """The keys that the target did not take, by name."""
    yield from (f"  REFUSED {one}" for one in (moved.refused if moved else ()))
