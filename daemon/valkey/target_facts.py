"""What is asked of a restore's target beforehand; none of it changes roles, data or settings.

Knows which rights a restore needs, how the target and we see each other, and how to have the
target try the way to our listener: a `MIGRATE … COPY` of one small key of its own, which the
listener answers with an error that only it can know.
"""

import ipaddress
import socket

import anyio
from msgspec import Struct

from daemon.errors import Failed
from daemon.valkey.connection import Node
from daemon.valkey.info import fields, number, pairs
from daemon.valkey.listener import Listener, Names, plain_address
from daemon.valkey.primary import Access
from daemon.valkey.probe import server
from daemon.valkey.refusal import acl_line
from events.facts import ServerFacts, TargetFacts, TrialFacts

LOOPBACK = frozenset({"127.0.0.1", "::1"})
SMALL_KEY_BYTES = 16 << 10
KEYS_LOOKED_AT = 20
TRIAL_MILLISECONDS = 500
"""The target serves nobody else while it tries: long enough for a network, short for clients."""

NEEDED = ("INFO", "CONFIG GET", "CONFIG SET", "REPLICAOF", "BGSAVE", "BGREWRITEAOF")
_HARMLESS = {
    "INFO": ("INFO", "server"),
    "CONFIG GET": ("CONFIG", "GET", "repl-timeout"),
    # Rights are checked before arguments, and these arguments are refused. [tried]
    "CONFIG SET": ("CONFIG", "SET", "repl-diskless-load", "?"),
    "REPLICAOF": ("REPLICAOF", "?", "?"),
    "BGSAVE": ("BGSAVE", "?"),
}
_OTHERWISE = "MIGRATE of the target does not speak as its replication does (tls-cluster)"
_LATER = (
    "The restore tries it in TLS when it has begun, before writes are refused. With tls-cluster "
    "yes on the target (outside of clusters that is for MIGRATE alone) the plan tries it."
)
_MUST_TRUST = (
    "The target's tls-ca-cert-file must hold who signed tls_cert_file of [restore]; and with "
    "tls_ca_file there, the target's own certificate must be signed by it, for clientAuth too."
)
_WITHHELD = frozenset({"cache-rights", "command-unknown"})


class Route(Struct, frozen=True):
    """How the two ends see each other: our address as the target names it, and its own."""

    ours: str
    theirs: frozenset[str]


class Entry(Struct, frozen=True):
    """What the target will say to our listener; `one_time` when it is to be told first.

    `tls` says that it will say it in TLS (``tls-replication``).
    """

    access: Access
    one_time: bool
    tls: bool = False


async def target_facts(node: Node, trial: TrialFacts) -> TargetFacts:
    """Everything the plan needs; a CONFIG that is withheld shows in `rights`."""
    found = await server(node)
    lacking = [command for command in NEEDED if not await _allowed(node, command)]
    settings: dict[str, str] = {}
    if "CONFIG GET" not in lacking:
        for name in ("masterauth", "rdb-del-sync-files"):
            settings |= pairs(await node.items("CONFIG", "GET", name))
    return TargetFacts(
        server=found,
        trial=trial,
        rights=acl_line(node.login.asked.user, lacking) if lacking else None,
        one_time_password=not settings.get("masterauth"),
        load_mode=found.settings.get("repl-diskless-load", "disabled"),
        drops_rdb=settings.get("rdb-del-sync-files") == "yes",
        aof_rewriting=found.aof and await _rewriting(node),
    )


async def _rewriting(node: Node) -> bool:
    info = fields(await node.text("INFO", "persistence"))
    return info.get("aof_rewrite_in_progress") == "1"


async def entry(node: Node, one_time_password: str) -> Entry:
    """What the listener is to expect: the target's own ``masterauth``, else the one-time one."""
    settings: dict[str, str] = {}
    for name in ("masterauth", "masteruser", "tls-replication"):
        settings |= pairs(await node.items("CONFIG", "GET", name))
    own = settings.get("masterauth", "")
    access = Access(own or one_time_password, settings.get("masteruser") or None)
    return Entry(access, one_time=not own, tls=settings.get("tls-replication") == "yes")


async def route(node: Node) -> Route:
    """Our address as the target sees it, and the addresses it may call from.

    `CLIENT INFO` tells both ends of our own connection as the target has them, which also is
    right for a target in a container; without it the system's name lookup must do.
    """
    address = node.login.address
    if address.socket is not None:
        return Route("127.0.0.1", LOOPBACK)
    named = await anyio.getaddrinfo(address.host, address.port)
    theirs = {plain_address(str(found[4][0])) for found in named}
    try:
        told = await node.text("CLIENT", "INFO")
    except Failed:
        ours = _way_out(min(theirs), address.port)
    else:
        ends = dict(word.partition("=")[::2] for word in told.split())
        ours = _host(ends.get("addr", ""))
        theirs.add(_host(ends.get("laddr", "")))
    if any(ipaddress.ip_address(one).is_loopback for one in theirs if one):
        theirs |= LOOPBACK
    return Route(plain_address(ours), frozenset(theirs - {""}))


async def try_listener(
    node: Node, listener: Listener, access: Access, names: Names, facts: ServerFacts
) -> TrialFacts:
    """Have the target reach the listener and give the password; nothing is left of it."""
    if facts.role == "replica":
        return TrialFacts("not-tried", "a replica may not MIGRATE")
    if not sum(facts.keys.values()):
        return TrialFacts("not-needed", "the target is empty, so nothing is frozen for long")
    if await migrates_in_tls(node) != listener.tls:
        return TrialFacts("not-tried", _OTHERWISE, _LATER if listener.tls else "")
    try:
        found = await _small_key(node, facts)
        if found is None:
            return TrialFacts("not-tried", "no small key was found to try it with")
        reply = await _migrate(node, listener, access, found)
    except Failed as error:
        return TrialFacts("not-tried", error.message)
    if names.marker in reply and listener.tried:
        return TrialFacts("reached")
    if "NOKEY" in reply or "IOERR" not in reply:
        return TrialFacts("not-tried", f"MIGRATE answered {reply[:200]}")
    said = f" ({listener.denied[-1]})" if listener.denied else ""
    return TrialFacts(
        "failed",
        f"no answer from {listener.address} to {node.login.address}{said}",
        _MUST_TRUST if listener.tls and listener.denied else "",
    )


async def migrates_in_tls(node: Node) -> bool:
    """Whether its `MIGRATE` speaks TLS, as ``tls-cluster`` says also outside of clusters."""
    return pairs(await node.items("CONFIG", "GET", "tls-cluster")).get("tls-cluster") == "yes"


async def _migrate(node: Node, listener: Listener, access: Access, found: tuple[int, str]) -> str:
    database, key = found
    login: tuple[str, ...] = ("AUTH", access.password)
    if access.username is not None:
        login = ("AUTH2", access.username, access.password)
    way = (listener.host, listener.port, key, database, TRIAL_MILLISECONDS)
    try:
        return await node.text("MIGRATE", *way, "COPY", *login)
    except Failed as error:
        if error.code in _WITHHELD:
            raise
        return error.message
    finally:
        await node.call("SELECT", 0)


async def _small_key(node: Node, facts: ServerFacts) -> tuple[int, str] | None:
    """A key that is cheap to send, and its database, which is selected now."""
    for database, keys in facts.keys.items():
        if not keys:
            continue
        await node.call("SELECT", database)
        for _ in range(KEYS_LOOKED_AT):
            key = await node.call("RANDOMKEY")
            if not isinstance(key, str):
                break
            size = await node.call("MEMORY", "USAGE", key)
            if isinstance(size, int) and size <= SMALL_KEY_BYTES:
                return database, key
    return None


async def _allowed(node: Node, command: str) -> bool:
    form = _HARMLESS.get(command, (command,))
    try:
        return await node.text("ACL", "DRYRUN", node.login.asked.user, *form) == "OK"
    except Failed as error:
        if error.code not in _WITHHELD and error.code != "cache-refused":
            raise
    if command not in _HARMLESS:
        return True  # Nothing harmless would tell.
    try:
        await node.call(*form)
    except Failed as error:
        return error.code not in _WITHHELD
    return True


async def keys_now(node: Node) -> dict[int, int]:
    """Keys by database, at this moment."""
    found: dict[int, int] = {}
    for name, value in fields(await node.text("INFO", "keyspace")).items():
        counts = dict(part.partition("=")[::2] for part in value.split(","))
        found[int(name.removeprefix("db"))] = number(counts, "keys")
    return dict(sorted(found.items()))


def _way_out(host: str, port: int) -> str:
    """Our address on the way to a host; a datagram socket is bound to it without any packet."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return str(probe.getsockname()[0])


def _host(endpoint: str) -> str:
    """``10.0.0.1`` of ``10.0.0.1:6379``, ``::1`` of ``[::1]:6379``."""
    return plain_address(endpoint.rpartition(":")[0].strip("[]"))
