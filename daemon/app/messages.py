"""Where messages and heartbeats really go: a herald for each message, HTTP for each beat.

Addresses are read anew for each of them and are never kept, shown or logged.
"""

import os
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import anyio
import msgspec

from daemon.actors.alarms import Beating, Outgoing
from daemon.app.real import secret
from daemon.commands import SetNotifications
from daemon.config import Config
from daemon.config.notify import ChannelConfig, NotifyConfig, kinds, seconds
from daemon.errors import Permanent, Transient
from events.alarms import Channel, ChannelName, Manner

DEADLINE_SECONDS = 45.0
"""For one message, whatever hangs: the herald is killed then."""
AT_ONCE = 4
"""Heralds at a time: each takes some tens of MB and a moment of a processor."""
BEAT_SECONDS = 10.0
HERALD = "daemon.herald"
_HANDED_DOWN = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)
"""What a herald gets of our environment: no secret of anybody."""


class Word(msgspec.Struct, frozen=True):
    """What a herald says; see `herald.Word`."""

    service: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""
    permanent: bool = False


class Heralds:
    """The `Messenger` over a process of its own for each message."""

    def __init__(self, channels: Mapping[str, ChannelConfig]) -> None:
        self._channels = dict(channels)
        self._limiter = anyio.CapacityLimiter(AT_ONCE)

    def replace(self, channels: Mapping[str, ChannelConfig]) -> None:
        """Use these from now on."""
        self._channels = dict(channels)

    async def send(self, channel: ChannelName, outgoing: Outgoing) -> str:
        """See `Messenger.send`."""
        config = self._channels.get(channel)
        if config is None:
            raise Permanent(
                "notify-address",
                f"Channel {channel} is not in the configuration that is in use.",
                "Reload the daemon (SIGHUP), or start it again.",
            )
        url = secret(file=config.url_file, variable=config.url_env) or ""
        foot = f"\n[{outgoing.message_id}]"
        errand = {
            "url": url.strip(),
            "level": outgoing.level,
            "title": outgoing.title,
            "text": outgoing.text + foot,
        }
        async with self._limiter:
            word = await _herald(msgspec.json.encode(errand))
        if word.code:
            kind = Permanent if word.permanent else Transient
            raise kind(word.code, word.message, word.hint)
        return word.service


async def _herald(errand: bytes) -> Word:
    said = b""
    with anyio.move_on_after(DEADLINE_SECONDS) as scope:
        said = await _talk(errand)
    if scope.cancelled_caught:
        raise Transient(
            "notify-timeout",
            f"It was not delivered within {DEADLINE_SECONDS:.0f} s, so the try was ended.",
            "Check the address and what stands between: proxies, firewalls, a slow server.",
        )
    try:
        return msgspec.json.decode(said, type=Word)
    except msgspec.MsgspecError:
        raise Transient(
            "notify-herald",
            "The process that sends messages ended without a word.",
            f"Try it by hand: `{sys.executable} -I -m {HERALD} < /dev/null` says what is missing.",
        ) from None


async def _talk(errand: bytes) -> bytes:
    """One herald's life; it does not outlive the call."""
    environment = {name: os.environ[name] for name in _HANDED_DOWN if name in os.environ}
    command = [sys.executable, "-I", "-m", HERALD]
    try:
        herald = await anyio.run_process(command, input=errand, env=environment, check=False)
    except OSError as error:
        raise Transient(
            "notify-herald",
            f"No process could be started that sends messages: {error.strerror}.",
            "The host has no memory or no processes left: `systemctl status valkeep` shows more.",
        ) from None
    return herald.stdout


class HttpPulse:
    """The `Pulse` over a GET of an address, as Healthchecks and its like expect it."""

    def __init__(self, config: NotifyConfig) -> None:
        self._config = config

    async def beat(self, *, well: bool) -> None:
        """See `Pulse.beat`; what is not well goes to the address with ``/fail`` behind it."""
        config = self._config
        url = secret(file=config.heartbeat_url_file, variable=config.heartbeat_url_env) or ""
        parsed = urlsplit(url.strip())
        if parsed.scheme not in ("http", "https") or not parsed.netloc:
            raise Permanent(
                "heartbeat-address",
                "The heartbeat's address is no http:// or https:// URL (it is not shown).",
                "Write the whole URL on one line of heartbeat_url_file.",
            )
        if not well:
            parsed = parsed._replace(path=parsed.path.rstrip("/") + "/fail")
        status = await _get(urlunsplit(parsed))
        if status >= 300:
            raise Transient(
                "heartbeat-refused",
                f"The heartbeat's server answered with status {status}.",
                "Check the URL in heartbeat_url_file: 404 means that nobody expects it there.",
            )


async def _get(url: str) -> int:
    """The status of an answer; errors of the library would show the address."""
    limit = aiohttp.ClientTimeout(total=BEAT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return answer.status
    except aiohttp.ClientSSLError:
        why = "no trusted TLS connection could be made"
    except aiohttp.ClientConnectorDNSError:
        why = "its name cannot be resolved"
    except aiohttp.ClientConnectorError as error:
        why = (error.os_error.strerror or "no connection").lower()
    except (aiohttp.ClientError, ValueError) as error:
        why = type(error).__name__
    except TimeoutError:
        why = f"no answer within {BEAT_SECONDS:.0f} s"
    raise Transient(
        "heartbeat-unreachable",
        f"The heartbeat's server cannot be reached: {why}.",
        "Check the URL in heartbeat_url_file, and this host's way to it.",
    )


def notifications(config: Config, host: str) -> SetNotifications:
    """What the ledger is to know of the channels: everything but their addresses."""
    notify = config.notify
    manner = Manner(
        host=notify.name or host,
        group_wait=seconds(notify.group_wait) or 0,
        repeat_every=seconds(notify.repeat_every) or 0,
        weekly="" if notify.weekly == "off" else notify.weekly,
        timezone=notify.timezone,
    )
    channels = tuple(
        Channel(
            name=ChannelName(name),
            on=kinds(channel.on),
            caches=channel.caches,
            level=channel.level,
            recovered=channel.recovered,
            weekly=channel.weekly,
        )
        for name, channel in sorted(config.channels.items())
    )
    return SetNotifications(manner, channels)


def beating(config: Config) -> Beating | None:
    """The heartbeat, if one is wanted."""
    notify = config.notify
    if not (notify.heartbeat_url_file or notify.heartbeat_url_env):
        return None
    return Beating(
        pulse=HttpPulse(notify),
        every_seconds=float(seconds(notify.heartbeat_every) or 300),
        well=notify.heartbeat_while,
        tells_ill=notify.heartbeat_fail,
    )
