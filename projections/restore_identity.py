"""The finding `identity` of a restore's plan: whether what is stored encrypted can be opened.

Pure, and knows public keys only. That the stored bytes are what the log says is found out
by opening them, which the restore does before it touches the target.
"""

from collections.abc import Iterator

from msgspec import Struct

from events.facts import Failure, Finding, StoredFacts


class Unlocking(Struct, frozen=True):
    """What the daemon has to open an encrypted backup with.

    `opens` are the recipients whose identities are in `file`, which others can read if it is
    `exposed`. `trouble` is why there is none.
    """

    file: str = ""
    opens: tuple[str, ...] = ()
    exposed: bool = False
    trouble: Failure | None = None


def identity(stored: StoredFacts, unlocking: Unlocking) -> Iterator[Finding]:
    """Nothing for a backup that is not encrypted; a blocker for one that nobody here can open."""
    if not stored.recipients:
        return
    told = ", ".join(stored.recipients)
    if unlocking.trouble is not None:
        yield Finding(
            "identity",
            "blocker",
            f"The backup is encrypted, and {unlocking.trouble.message}.",
            f"{unlocking.trouble.hint} It is encrypted to: {told}.",
        )
        return
    if not set(stored.recipients) & set(unlocking.opens):
        yield Finding(
            "identity",
            "blocker",
            f"The backup is encrypted to {told}; {unlocking.file} holds the identity of "
            f"{', '.join(unlocking.opens) or 'nobody'}.",
            "Put the identity of one of its recipients into that file; several may stand there, "
            "one a line.",
        )
    if unlocking.exposed:
        yield Finding(
            "identity-exposed",
            "warning",
            f"Other users of our host can read {unlocking.file}, and with it every backup.",
            f"chmod o= {unlocking.file}",
        )
