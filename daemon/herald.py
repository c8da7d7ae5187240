"""The herald: a process that takes one message to one address by apprise, and says how it went.

Reads its errand from stdin and prints one JSON line; run as ``python -I -m daemon.herald``.
apprise and all that it loads live and hang here, never in the daemon. The address never leaves
this process: what the other side said is told in our words, or with every piece of it taken out.
"""

import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import apprise
import msgspec
from apprise.common import OverflowMode, PersistentStoreMode
from msgspec import Struct

PATIENCE = (10.0, 25.0)
"""Seconds for a connection, and for each answer."""
HARD_END_SECONDS = 60
"""Also without a daemon that would end us."""
SHORTEST = 3
"""Pieces of an address that are shorter are no secrets, and stand in every sentence."""
LONGEST = 300


class Errand(Struct, frozen=True):
    """One message and where it goes."""

    url: str
    level: str
    title: str
    text: str


class Word(Struct, frozen=True):
    """How it went; a `code` is there when it was not delivered."""

    service: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""
    permanent: bool = False


TYPES: Mapping[str, apprise.NotifyType] = {
    "ok": apprise.NotifyType.SUCCESS,
    "info": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "critical": apprise.NotifyType.FAILURE,
}
_ADDRESS = Word(
    code="notify-address",
    message="Its address is not one that can be used",
    hint="Write it as https://github.com/caronc/apprise/wiki has it for the service, on one line "
    "of the file; it is read again at the next try.",
    permanent=True,
)
_CHECK = "Check the address and its token in the channel's url_file or url_env"
CAUSES: tuple[tuple[str, Word], ...] = (
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        Word(
            "",
            "notify-tls",
            "The server's certificate is not trusted",
            "Its authority must be known to this host; REQUESTS_CA_BUNDLE may name a file of the "
            "daemon's environment. A proxy in between shows a certificate of its own.",
        ),
    ),
    (
        r"SSLError|SSLEOFError|WRONG_VERSION_NUMBER|ssl\.c",
        Word(
            "",
            "notify-tls",
            "No TLS connection could be made",
            "Does the port speak TLS? Many schemes have two forms, as json:// and jsons://.",
        ),
    ),
    (
        r"NameResolutionError|getaddrinfo|gaierror|not known|failure in name resolution",
        Word(
            "",
            "notify-name",
            "The server's name cannot be resolved",
            f"{_CHECK}, and the resolver of this host (`resolvectl query NAME`).",
        ),
    ),
    (
        r"Connection refused|Errno 111",
        Word(
            "",
            "notify-refused",
            "The server refuses the connection",
            "Is it up, and is the port right? A firewall may refuse it too.",
        ),
    ),
    (
        r"No route to host|Network is unreachable|Errno 10[13]|Errno 113",
        Word(
            "",
            "notify-unreachable",
            "The server cannot be reached",
            "Check this host's network, and what the unit's firewall rules allow.",
        ),
    ),
    (
        r"error[= ]40[13]\b|Unauthorized|SMTPAuthenticationError|\(535,",
        Word(
            "",
            "notify-refused-token",
            "The service does not accept our token or password",
            f"{_CHECK}: was it revoked, or written by half?",
            permanent=True,
        ),
    ),
    (
        r"error[= ]404\b|Page not found",
        Word(
            "",
            "notify-not-found",
            "The service knows no such place (404)",
            f"{_CHECK}: the channel, topic or path may be gone.",
            permanent=True,
        ),
    ),
    (
        r"error[= ]429\b|Too Many Requests|rate.?limit",
        Word(
            "",
            "notify-limit",
            "The service takes no more messages for now (429)",
            "It is tried again by itself.",
        ),
    ),
    (
        r"error[= ]5\d\d\b|Internal [Ss]erver [Ee]rror",
        Word(
            "",
            "notify-server",
            "The service itself failed",
            "It is tried again by itself; the service's own status page may say more.",
        ),
    ),
    (
        r"timed? ?out|Timeout|deadline",
        Word(
            "",
            "notify-timeout",
            "The server did not answer in time",
            "Check the address and what stands between: proxies and firewalls.",
        ),
    ),
)
"""What apprise's log shows of a failure, and what that means."""


class _Ears(logging.Handler):
    """Keeps what apprise says; nothing of it is printed."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.heard: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One more line."""
        self.heard.append((record.levelno, record.getMessage()))


def deliver(errand: Errand) -> Word:
    """Take it there; apprise's own bounds of time hold."""
    ears = _Ears()
    logger = logging.getLogger("apprise")
    logger.addHandler(ears)
    logger.setLevel(1)
    logger.propagate = False
    asset = apprise.AppriseAsset(
        app_id="Valkeep", app_desc="Backups of Valkey", storage_mode=PersistentStoreMode.MEMORY
    )
    herald = apprise.Apprise(asset=asset)
    if not _one_line(errand.url) or not herald.add(errand.url) or len(herald) != 1:
        return _named(_ADDRESS, errand, ears)
    other_side = next(iter(herald))
    service = str(other_side.service_name)
    # apprise gives up after 4 s, and what a slow service has taken would be sent again.
    other_side.socket_connect_timeout = max(PATIENCE[0], other_side.socket_connect_timeout)
    other_side.socket_read_timeout = max(PATIENCE[1], other_side.socket_read_timeout)
    if other_side.overflow_mode is OverflowMode.UPSTREAM:
        # The most important comes first, and what is too long is not taken at all by some.
        other_side.overflow_mode = OverflowMode.TRUNCATE
    ears.heard.clear()
    sent = herald.notify(
        title=errand.title,
        body=errand.text,
        notify_type=TYPES.get(errand.level, apprise.NotifyType.INFO),
        body_format=apprise.NotifyFormat.TEXT,
    )
    if sent:
        return Word(service=service)
    return msgspec.structs.replace(_cause(errand, ears), service=service)


def _one_line(url: str) -> bool:
    return bool(url) and url.isprintable()


def _cause(errand: Errand, ears: _Ears) -> Word:
    # Our own words are in the payload that apprise shows at its lowest level.
    heard = "\n".join(
        line for _, line in ears.heard if errand.title not in line and errand.text not in line
    )
    for pattern, word in CAUSES:
        if re.search(pattern, heard):
            return msgspec.structs.replace(word, message=f"{word.message}.")
    unknown = Word("", "notify-failed", "The message was not taken", f"{_CHECK}.")
    return _named(unknown, errand, ears)


def _named(word: Word, errand: Errand, ears: _Ears) -> Word:
    """With what apprise itself says, where that is fit to be shown."""
    said = [line for level, line in ears.heard if logging.WARNING <= level < logging.ERROR]
    told = without_secrets(said[-1], url=errand.url) if said else ""
    message = f"{word.message} ({told.rstrip('. ')})" if told else word.message
    return msgspec.structs.replace(word, message=f"{message}.")


def without_secrets(text: str, *, url: str) -> str:
    """The text without any piece of an address but its scheme, however that is written."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    pieces: set[str] = set()
    for form in (url, unquote(url), unquote(unquote(url))):
        pieces |= set(re.split(r"[^A-Za-z0-9_.-]+", form)) | set(re.split(r"\W+", form))
        pieces |= set(re.split(r"[/?&=@:#]+", form))
    known = {scheme, scheme.rstrip("s"), ""}
    for piece in sorted(pieces - known, key=len, reverse=True):
        if len(piece) >= SHORTEST:
            text = re.sub(re.escape(piece), "…", text, flags=re.IGNORECASE)
    return " ".join(text.split())[:LONGEST]


def main() -> None:
    """Do the errand that stdin holds."""
    signal.alarm(HARD_END_SECONDS)
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    sys.stdout.buffer.write(msgspec.json.encode(deliver(errand)) + b"\n")
    sys.stdout.flush()
    # Threads that still wait for the other side are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
