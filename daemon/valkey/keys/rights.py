"""Which rights a restore by keys needs of its target, and which of them our user lacks."""

from daemon.errors import Failed
from daemon.valkey.connection import Node
from daemon.valkey.refusal import acl_line
from events.facts import ServerFacts

NEEDED = (
    "INFO",
    "SELECT",
    "EXISTS",
    "SET",
    "MSET",
    "RESTORE",
    "UNLINK",
    "PEXPIREAT",
    "RENAME",
    "RENAMENX",
)
"""`RENAME` and what follows it are for keys that are too large for one command."""
OF_ELEMENTS = ("APPEND", "RPUSH", "SADD", "HSET", "ZADD")
TRIAL_KEY = "valkeep-trial"
_FORMS = {
    "INFO": ("INFO", "server"),
    "SELECT": ("SELECT", "0"),
    "EXISTS": ("EXISTS", TRIAL_KEY),
    # Rights are checked before arguments, and these arguments are refused. [tried]
    "RESTORE": ("RESTORE", TRIAL_KEY, "0", "?"),
    "SET": ("SET", TRIAL_KEY, "", "XX", "NX"),
    "MSET": ("MSET", TRIAL_KEY, "?"),
    "UNLINK": ("UNLINK", TRIAL_KEY),
    "PEXPIREAT": ("PEXPIREAT", TRIAL_KEY, "?"),
    "RENAME": ("RENAME", TRIAL_KEY, TRIAL_KEY),
    "RENAMENX": ("RENAMENX", TRIAL_KEY, TRIAL_KEY),
    "APPEND": ("APPEND", TRIAL_KEY, ""),
    "RPUSH": ("RPUSH", TRIAL_KEY, "?"),
    "SADD": ("SADD", TRIAL_KEY, "?"),
    "HSET": ("HSET", TRIAL_KEY, "?", "?"),
    "ZADD": ("ZADD", TRIAL_KEY, "?", "?"),
    "CLUSTER SLOTS": ("CLUSTER", "SLOTS"),
}
_UNTRIED = frozenset({"MSET", "UNLINK", *OF_ELEMENTS})
"""Without ``ACL DRYRUN`` these cannot be tried without writing anything."""
_WITHHELD = frozenset({"cache-rights", "command-unknown"})


async def lacking(node: Node, facts: ServerFacts) -> str | None:
    """The ``ACL SETUSER`` line for what is missing, or None; nothing is written by asking."""
    needed = [*NEEDED, *OF_ELEMENTS, *(("CLUSTER SLOTS",) if facts.cluster else ())]
    missing: list[str] = []
    guessed: list[str] = []
    keys = False
    for command in needed:
        verdict = await _verdict(node, command)
        if verdict is None:
            guessed.append(command)
        elif " key" in verdict:
            keys = True
        elif verdict != "OK":
            missing.append(command)
    if not missing and not keys:
        return None
    line = acl_line(node.login.asked.user, (*missing, *guessed))
    return f"{line.rstrip()} ~*" if keys else line


async def _verdict(node: Node, command: str) -> str | None:
    """``OK``, or why not in the server's words; None where it cannot be known."""
    try:
        return await node.text("ACL", "DRYRUN", node.login.asked.user, *_FORMS[command])
    except Failed as error:
        if error.code not in _WITHHELD and error.code != "cache-refused":
            raise
    if command in _UNTRIED:
        return None
    try:
        await node.call(*_FORMS[command])
    except Failed as error:
        if error.code in _WITHHELD:
            return str(error.__cause__)
    return "OK"
