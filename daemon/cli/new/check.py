"""Whether a new server holds what the backup does: keys, by its own account. Pure."""

from collections.abc import Iterator, Mapping

from daemon.valkey.info import Extras, number, server_facts
from events.facts import Receipt, StoredFacts


def differences(
    info: Mapping[str, str], stored: StoredFacts, receipt: Receipt | None
) -> Iterator[str]:
    """What does not agree with what is known of the backup; expired keys are no difference."""
    loaded, expired = "rdb_last_load_keys_loaded", "rdb_last_load_keys_expired"
    totals = stored.totals
    if totals is not None and loaded in info:
        found = number(info, loaded) + number(info, expired)
        if found != totals.keys:
            yield (
                f"The server loaded {number(info, loaded):,} keys and found "
                f"{number(info, expired):,} expired; the backup holds {totals.keys:,}."
            )
    if receipt is None or not receipt.keys_per_database:
        return
    holds = server_facts(info, Extras()).keys
    for database in sorted({*holds, *receipt.keys_per_database}):
        now, proven = holds.get(database, 0), receipt.keys_per_database.get(database, 0)
        if now > proven:
            yield f"Database {database} has {now:,} keys; the backup's receipt tells of {proven:,}."
        if proven and not now and not number(info, expired) and not number(info, "evicted_keys"):
            yield f"Database {database} is empty; the backup's receipt tells of {proven:,} keys."
