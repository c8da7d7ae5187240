"""Where a node listens: ``valkey[s]://[user@]host[:port]`` or ``unix:///path[?user=name]``.

Knows the spelling and nothing of connections. A password has no place in it: a URL stands
in the event log, in messages and in process lists.
"""

from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from daemon.errors import BadRequest

DEFAULT_PORT = 6379
SOCKET_PATH_LIMIT = 107
_FORM = (
    "write valkey://[user@]host[:port], valkeys:// for TLS, or unix:///path/of/socket[?user=name]"
)


class Address(Struct, frozen=True):
    """One node's address: `socket` is a Unix socket's path; without it `host` and `port` count.

    `tls` says that TLS is spoken there; never on a Unix socket.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    socket: str | None = None
    user: str | None = None
    tls: bool = False

    def __str__(self) -> str:
        """For messages: the canonical URL. There is no secret that it could hold."""
        if self.socket is not None:
            return f"unix://{self.socket}" + (f"?user={self.user}" if self.user else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "valkeys" if self.tls else "valkey"
        return f"{scheme}://{self.user + '@' if self.user else ''}{host}:{self.port}"

    @property
    def place(self) -> str:
        """``HOST:PORT`` or the socket's path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.socket or f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether the address itself says that the node runs on this host."""
        return (
            self.socket is not None
            or self.host in {"localhost", "::1"}
            or self.host.startswith("127.")
        )


def parse(url: str) -> Address:
    """The address that a URL names; raises `BadRequest("cache-url")` with the right form.

    The URL is never quoted in that message: what is wrong with it may be a password.
    """
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise _wrong("it holds a space or a control character")
    try:
        parts = urlsplit(url)
        if parts.fragment:
            raise _wrong("it has a fragment (#…)")
        match parts.scheme:
            case "valkey" | "redis":
                return _over_tcp(parts, tls=False)
            case "valkeys" | "rediss":
                return _over_tcp(parts, tls=True)
            case "unix":
                return _over_socket(parts)
            case _:
                raise _wrong("it has no scheme that is known here")
    except ValueError as error:  # From urlsplit: a bracket left open, a port that is no number.
        raise _wrong("its host or port cannot be read") from error


def _over_tcp(parts: SplitResult, *, tls: bool) -> Address:
    _without_password(parts)
    if parts.query:
        raise _wrong("it has parameters (?…)")
    if parts.path not in {"", "/"}:
        raise _wrong("it names a database: a backup holds all of them")
    if not parts.hostname:
        raise _wrong("it has no host")
    port = DEFAULT_PORT if parts.port is None else parts.port
    if port == 0:
        raise _wrong("its port is 0")
    user = unquote(parts.username) if parts.username else None
    return Address(host=parts.hostname, port=port, user=_checked_user(user), tls=tls)


def _over_socket(parts: SplitResult) -> Address:
    _without_password(parts)
    if parts.netloc or not parts.path.startswith("/"):
        raise _wrong("a socket's path begins with /, so there are three slashes in all")
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    user = parameters.pop("user", None)
    if "password" in parameters:
        raise _password()
    if parameters:
        raise _wrong("it has parameters other than user")
    path = unquote(parts.path)
    if len(path.encode()) > SOCKET_PATH_LIMIT or "\0" in path:
        raise _wrong(f"no socket can have that path ({SOCKET_PATH_LIMIT} bytes at most)")
    return Address(socket=path, user=_checked_user(user))


def _without_password(parts: SplitResult) -> None:
    if parts.password is not None:
        raise _password()


def _checked_user(user: str | None) -> str | None:
    if user is not None and (not user or any(ord(c) <= 32 for c in user)):
        raise _wrong("its user name is empty or holds a space")
    return user


def _password() -> BadRequest:
    return _wrong(
        "it holds a password",
        hint="put the password alone into a file and name that as password_file; "
        "only the user belongs in the URL",
    )


def _wrong(what: str, *, hint: str = _FORM) -> BadRequest:
    return BadRequest("cache-url", f"the cache's URL cannot be used: {what}", hint)
