"""Connections for ordinary commands, and the one place where their errors are translated.

Knows redis-py; nobody above sees its exceptions. Each connection asks for the password
anew, so that a rotated one is used at once, and nothing here retries: that is the policy's.
"""

import errno
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import anyio
import redis.asyncio
from msgspec import Struct
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from daemon.errors import Failed, Permanent, Transient
from daemon.valkey.address import Address, parse
from daemon.valkey.diagnosis import diagnosed
from daemon.valkey.refusal import Asked, not_valkey, refused, unauthenticated
from daemon.valkey.tls import Tls, client_context, of_cache
from daemon.valkey.tls_refusal import tls_failed
from events.facts import CacheSettings

CLOSE_SECONDS = 2.0


class Timeouts(Struct, frozen=True):
    """How long to wait, in seconds; `stall` counts from the last byte that came.

    `look` is for a node that would do and need not be there: an announced address may lead
    nowhere.
    """

    connect: float = 10.0
    command: float = 30.0
    stall: float = 60.0
    look: float = 3.0


class Secrets(Protocol):
    """Where passwords come from; the composition root fills it."""

    def __call__(self, settings: CacheSettings) -> str | None:
        """The cache's password as it is now; None if it has none. Read at each connection.

        Raises `Permanent` with a hint when the place it should be in cannot be read.
        """
        ...


class Credentials(Struct, frozen=True, repr_omit_defaults=True):
    """Who we are to a server. Its text never holds the password."""

    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """For messages and traces."""
        shown = "None" if self.password is None else "…"
        return f"Credentials(username={self.username!r}, password={shown})"

    __str__ = __repr__


class Login(Struct, frozen=True):
    """An address with who we are there, and how TLS is spoken where its URL says so."""

    address: Address
    credentials: Credentials = Credentials()
    tls: Tls | None = None

    @property
    def asked(self) -> Asked:
        """For errors."""
        return Asked(self.address, self.credentials.username or "default")


def login(settings: CacheSettings, secrets: Secrets) -> Login:
    """Where a cache is and who we are there, with the password of this moment."""
    address = parse(settings.url)
    tls = of_cache(settings) if address.tls else None
    return Login(address, Credentials(address.user, secrets(settings)), tls)


class Node:
    """One server on one connection; answers are RESP2 as they came: text, numbers, lists."""

    def __init__(self, client: redis.asyncio.Redis, login: Login) -> None:
        self._client = client
        self._answered = False
        self.login = login
        # Without redis-py's own readings, INFO and CONFIG GET come as the server wrote them.
        client.response_callbacks.clear()

    async def call(self, *words: str | int) -> object:
        """One command's answer; raises `Transient` or `Permanent`, never redis-py's errors."""
        command = _name(words)
        try:
            with translated(self.login, command=command):
                answer: object = await self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        except Failed as error:
            if self._answered:
                raise
            raise await diagnosed(self.login.address, self.login.tls, error) from error
        self._answered = True
        return answer

    async def text(self, *words: str | int) -> str:
        """An answer that is a string or a status; anything else is not this protocol."""
        answer = await self.call(*words)
        if not isinstance(answer, str):
            raise not_valkey(self.login.address)
        return answer

    async def items(self, *words: str | int) -> list[object]:
        """An answer that is an array; anything else is not this protocol."""
        answer = await self.call(*words)
        if not isinstance(answer, list):
            raise not_valkey(self.login.address)
        return answer


@asynccontextmanager
async def connect(login: Login, timeouts: Timeouts) -> AsyncGenerator[redis.asyncio.Redis, None]:
    """A client of one connection, RESP2, no retries, no health checks; text is decoded.

    It connects at the first command. Run that, and every other, under `translated`.
    """
    address, credentials = login.address, login.credentials
    client = redis.asyncio.Redis(
        host=address.host,
        port=address.port,
        unix_socket_path=address.socket,
        username=credentials.username,
        password=credentials.password,
        protocol=2,
        single_connection_client=True,
        decode_responses=True,
        encoding_errors="backslashreplace",
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=timeouts.connect,
        socket_timeout=timeouts.command,
        health_check_interval=0,
        driver_info=None,
    )
    if login.tls is not None:
        client.connection_pool.connection_class = _TlsConnection
        client.connection_pool.connection_kwargs["tls"] = login.tls
    try:
        yield client
    finally:
        # Also when we are cancelled: what is not closed now, nobody would close.
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await client.aclose()


class _TlsConnection(redis.asyncio.Connection):
    """redis-py's connection with a context of ours, made anew each time that it connects."""

    def __init__(self, *, tls: Tls, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self._tls = tls

    def _connection_arguments(self) -> Mapping[str, object]:
        return {
            **super()._connection_arguments(),
            "ssl": client_context(self._tls),
            "server_hostname": self._tls.server_name or self.host,
            "ssl_shutdown_timeout": CLOSE_SECONDS,
        }


@asynccontextmanager
async def open_node(login: Login, timeouts: Timeouts) -> AsyncGenerator[Node, None]:
    """A server to ask; see `connect`."""
    async with connect(login, timeouts) as client:
        yield Node(client, login)


@contextmanager
def translated(login: Login, *, command: str) -> Iterator[None]:
    """Turn what redis-py and the system raise into `Transient` and `Permanent`."""
    try:
        yield
    except (exceptions.RedisError, OSError, ValueError) as error:
        raise translate(login, error, command=command) from error


def translate(login: Login, error: Exception, *, command: str) -> Failed:
    """What an error of redis-py or of the system means for the caller."""
    return _below(login, error) or _of_redis(login, error, command=command)


def _below(login: Login, error: Exception) -> Failed | None:
    """What lies right below: our own error, or one of TLS; redis-py raises its own on top of it.

    No deeper, and ours only as the cause: the context may be of an error that is being handled.
    """
    if isinstance(error.__cause__, Failed):
        return error.__cause__
    for below in (error, error.__cause__, error.__context__):
        if isinstance(below, ssl.SSLError):
            return tls_failed(login.address, login.tls, below)
    return None


def _of_redis(login: Login, error: Exception, *, command: str) -> Failed:
    asked = login.asked
    match error:
        case exceptions.AuthenticationError() if "without any password" in str(error):
            return refused(asked, str(error), command="AUTH")
        case exceptions.AuthenticationError() | exceptions.AuthenticationWrongNumberOfArgsError():
            return unauthenticated(asked)
        case exceptions.BusyLoadingError():
            return refused(asked, "LOADING", command=command)
        case exceptions.InvalidResponse():
            return not_valkey(login.address)
        case exceptions.ResponseError():
            return refused(asked, _as_sent(error), command=command)
        case exceptions.TimeoutError() | TimeoutError():
            return timed_out(login.address, doing=command)
        case exceptions.ConnectionError() | OSError():
            return unreachable(login.address, error)
        case _:
            return not_valkey(login.address)


def timed_out(address: Address, *, doing: str) -> Transient:
    """No answer in time."""
    return Transient(
        "cache-timeout",
        f"{address} did not answer {doing} in time",
        "is the server frozen, swapping, or busy with a slow command? Is a firewall between?",
    )


def unreachable(address: Address, error: Exception) -> Failed:
    """No connection, or one that broke; says which of the usual reasons it was."""
    # redis-py raises its own error while it handles the system's.
    cause = next((e for e in (error, error.__cause__, error.__context__) if _of_system(e)), error)
    number = cause.errno if isinstance(cause, OSError) else None
    if isinstance(cause, socket.gaierror):
        hint = "the name is not known here: check its spelling and this host's DNS"
        return Transient("cache-unreachable", f"{address}: the host name cannot be found", hint)
    if number in {errno.EACCES, errno.EPERM}:
        return Permanent(
            "cache-unreachable",
            f"{address} may not be used by this user",
            "let the daemon's user read and write the socket (unixsocketperm, its group)",
        )
    reasons = {
        errno.ECONNREFUSED: "nothing listens there",
        errno.ENOENT: "there is no such socket",
        errno.ECONNRESET: "the connection was cut",
        errno.EPIPE: "the connection was cut",
        errno.EHOSTUNREACH: "there is no way to that host",
        errno.ENETUNREACH: "there is no way to that network",
        errno.ETIMEDOUT: "it did not answer",
    }
    words = str(error).rstrip(".") if isinstance(error, exceptions.RedisError) else "it broke off"
    reason = words if number is None else reasons.get(number, words)
    return Transient(
        "cache-unreachable",
        f"{address} cannot be reached: {reason}",
        "is the server running, and do host, port or path in the cache's URL name it?",
    )


def _of_system(error: BaseException | None) -> bool:
    return isinstance(error, OSError)


def _name(words: tuple[str | int, ...]) -> str:
    """``CONFIG GET`` of a command's words, without its arguments: those may be secret."""
    first = str(words[0]).upper()
    containers = {"ACL", "CLIENT", "CONFIG", "FUNCTION", "MODULE"}
    return f"{first} {str(words[1]).upper()}" if first in containers else first


def _as_sent(error: exceptions.ResponseError) -> str:
    """The reply with the code that redis-py cut off."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)
