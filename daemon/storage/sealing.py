"""To whom the backups of a vault are encrypted, and where the identity for reading them is.

Knows age's keys as texts, and how an identity file is read: anew each time, and never shown.
A daemon that only makes backups needs no identity.
"""

import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
from msgspec import Struct

from daemon.errors import Permanent
from daemon.ports import Offload
from daemon.storage import age
from events.facts import VaultName

log = structlog.get_logger()

_LARGEST_BYTES = 64 << 10
_OTHERS = stat.S_IRWXO
_MAKE_ONE = (
    "Name a file that holds the identity of one of its recipients as identity_file in "
    "[vaults.{vault}], and reload the configuration (SIGHUP)."
)


class Sealing(Struct, frozen=True):
    """Encryption to these ``age1…`` recipients; `token` is `Ids.token`, for the files' keys."""

    recipients: tuple[str, ...]
    token: Callable[[int], str]

    def stage(self) -> age.Encryption:
        """A stage for one file, with a key of its own. `Permanent` for a recipient that is none."""
        try:
            keys = [age.public_key(recipient) for recipient in self.recipients]
            return age.Encryption(keys, self.token)
        except (ValueError, age.AgeError) as error:
            raise Permanent(
                "recipient",
                f"A recipient of the vault is none: {error}.",
                "Correct recipients in the vault's section; `age-keygen -y FILE` prints one.",
            ) from error


class Identities(Struct, frozen=True):
    """Secret keys from one file; `exposed` says that others can read it. Shows no key."""

    file: str
    keys: Sequence[age.Identity]
    exposed: bool = False

    @property
    def recipients(self) -> tuple[str, ...]:
        """The public halves."""
        return tuple(key.recipient for key in self.keys)


class VaultKeys(Struct, frozen=True):
    """What the configuration says of one vault's encryption."""

    recipients: tuple[str, ...] = ()
    identity_file: str | None = None


class Keys(Protocol):
    """The keys of the configured vaults."""

    def sealing(self, vault: VaultName) -> Sealing | None:
        """How a new backup is encrypted; None if it is not."""
        ...

    async def identities(self, vault: VaultName) -> Identities:
        """For reading, from their file as it is now; ``identity``, `Permanent`, if there are none.

        The file is read once for each call, and nothing of it is kept.
        """
        ...


class Keyring:
    """The `Keys` of the real daemon."""

    def __init__(
        self, vaults: Mapping[VaultName, VaultKeys], token: Callable[[int], str], offload: Offload
    ) -> None:
        self._vaults = dict(vaults)
        self._token = token
        self._offload = offload

    def replace(self, vaults: Mapping[VaultName, VaultKeys]) -> None:
        """Take a new configuration; attempts under way go on to their old recipients."""
        self._vaults = dict(vaults)

    def sealing(self, vault: VaultName) -> Sealing | None:
        """See `Keys.sealing`."""
        recipients = self._of(vault).recipients
        return Sealing(recipients, self._token) if recipients else None

    async def identities(self, vault: VaultName) -> Identities:
        """See `Keys.identities`."""
        file = self._of(vault).identity_file
        if file is None:
            raise Permanent(
                "identity",
                f"the configuration names no identity for the vault {vault!r}",
                _MAKE_ONE.format(vault=vault),
            )
        found = await self._offload(read_identities, file)
        if found.exposed:
            log.warning("identity file readable by others", file=file, vault=vault)
        return found

    def _of(self, vault: VaultName) -> VaultKeys:
        return self._vaults.get(vault, VaultKeys())


class NoKeys:
    """Nothing is encrypted, and there is no identity."""

    def sealing(self, vault: VaultName) -> Sealing | None:  # noqa: ARG002 - the same for all
        """See `Keys.sealing`."""
        return None

    async def identities(self, vault: VaultName) -> Identities:
        """See `Keys.identities`."""
        hint = _MAKE_ONE.format(vault=vault)
        raise Permanent("identity", f"there is no identity for the vault {vault!r}", hint)


def read_identities(file: str) -> Identities:
    """The identities in a file. `Permanent`, ``identity``, says why there are none; blocks."""
    try:
        text, mode = _read(file)
        keys = age.identities(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Permanent(
            "identity",
            f"the identity file {file} cannot be read: {reason}",
            "The daemon's user must be able to read that file; check its path, owner and mode.",
        ) from None
    except age.IdentityError as error:
        raise Permanent(
            "identity",
            f"the identity file {file} {error}",
            "It must be as `age-keygen` writes it: AGE-SECRET-KEY-1… on a line of its own.",
        ) from None
    return Identities(file, keys, exposed=bool(mode & _OTHERS))


def _read(file: str) -> tuple[str, int]:
    """A small regular file's text and mode; a FIFO or a device must not hold us up."""
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = stream.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise OSError(errno.EFBIG, "it is too large to be one")
    return data.decode(), found.st_mode
