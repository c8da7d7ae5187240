"""What happened to a lost or older log, in a sentence."""

from events.recoveries import BackupRecovered, LogRecovered, LogWentBack


def of_recovery(event: BackupRecovered | LogWentBack | LogRecovered) -> str:
    """What was found, and what became of it."""
    match event:
        case BackupRecovered():
            return (
                f"backup {event.name} of {event.cache} was found in vault {event.vault} and "
                f"registered again: {event.backup_id}"
            )
        case LogWentBack():
            return (
                f"the daemon found that vault {event.vault} knows another log: {event.witness} "
                f"remembers position {event.known}, the log ended at {event.here}; nothing is "
                "deleted until `valkeep recover`"
            )
        case LogRecovered():
            history = f", and the history up to {event.imported}" if event.imported else ""
            former = f", which was of installation {event.former}" if event.former else ""
            return (
                f"the daemon recovered vault {event.vault}{former}: {event.backups} backups and "
                f"{len(event.caches)} caches registered{history}"
            )
