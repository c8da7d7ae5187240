"""What a cache's server takes the time to be; asked once, and never important enough to fail."""

from datetime import UTC, datetime, timedelta

from daemon.errors import Failed
from daemon.valkey.connection import Secrets, Timeouts, login, open_node
from events.facts import CacheSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ServerClocks:
    """Asks servers for their ``TIME``."""

    def __init__(self, secrets: Secrets, timeouts: Timeouts) -> None:
        self._secrets = secrets
        self._timeouts = timeouts

    async def __call__(self, settings: CacheSettings) -> datetime | None:
        """The server's clock, UTC; None where it does not tell (no right to ``TIME``)."""
        try:
            async with open_node(login(settings, self._secrets), self._timeouts) as node:
                seconds, microseconds = await node.items("TIME")
        except (Failed, ValueError):
            return None
        said = timedelta(seconds=int(str(seconds)), microseconds=int(str(microseconds)))
        return _EPOCH + said
