"""Settings that differ between a backup's server and a target, and why each matters (R2).

Only those that change what data means or whether it fits; how a server is run otherwise is
the target's own affair.
"""

from collections.abc import Iterator

from events.facts import Finding, ServerFacts

_MATTERS = {
    "maxmemory-policy": "it decides which keys go when memory is full",
    "maxmemory-clients": "clients may be closed to free memory",
    "proto-max-bulk-len": "larger values cannot be written again",
    "notify-keyspace-events": "clients may wait for events that do not come",
}
_LAYOUT = ("hash-max-", "list-max-", "list-compress-", "set-max-", "zset-max-", "stream-node-max-")


def differences(*, source: ServerFacts, target: ServerFacts) -> Iterator[Finding]:
    """One warning per setting, in name order; settings that either side hides are passed over."""
    for name in sorted(source.settings.keys() & target.settings.keys()):
        ours, theirs = source.settings[name], target.settings[name]
        reason = _reason(name)
        if reason is not None and ours != theirs:
            yield Finding(
                "parameters",
                "warning",
                f"{name} was {_quoted(ours)} and is {_quoted(theirs)} on the target: {reason}.",
                f"CONFIG SET {name} {_quoted(ours)}",
            )
    told = "CONFIG GET" not in source.unknown  # an import's server was never asked
    if told and source.maxmemory_bytes != target.maxmemory_bytes:
        yield Finding(
            "parameters",
            "warning",
            f"maxmemory was {_limit(source.maxmemory_bytes)} and is "
            f"{_limit(target.maxmemory_bytes)} on the target.",
        )


def _reason(name: str) -> str | None:
    if name.startswith(_LAYOUT):
        return "the same data may take more or less memory"
    return _MATTERS.get(name)


def _quoted(value: str) -> str:
    return value if value and " " not in value else f'"{value}"'


def _limit(maxmemory_bytes: int) -> str:
    return f"{maxmemory_bytes:,} bytes" if maxmemory_bytes else "unlimited"
