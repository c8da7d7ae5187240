"""Whether a hook's program may be run at all: it is there, we may run it, and nobody else owns it.

It runs with the daemon's rights, so whoever can change it has them. Looks at files; decides
nothing else.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


class Account(Struct, frozen=True):
    """Whose rights the program gets."""

    uid: int
    gids: frozenset[int]


class Doubt(Struct, frozen=True):
    """What is wrong with a program; with `refused` it is not run."""

    message: str
    hint: str
    refused: bool = True


def myself() -> Account:
    """The user that this process runs as."""
    return Account(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def doubts(program: str, account: Account) -> Iterator[Doubt]:
    """All that is wrong with a program; blocks as long as its disk does."""
    path = Path(program)
    try:
        found = path.stat()
        path = path.resolve(strict=True)
    except OSError as error:
        told = f"{program} is not there: {error.strerror}"
        yield Doubt(told, "Put it there, or correct the path in `command`.")
        return
    if not stat.S_ISREG(found.st_mode):
        yield Doubt(f"{program} is not a file", "Name a program in `command`.")
        return
    if not _may_run(found, account):
        told = f"{program} may not be run by the daemon's user (mode {_mode(found)})"
        yield Doubt(told, f"`chmod 0755 {program}`, say, and let its folders be entered.")
    yield from _changeable(program, path, found, account)


def listed(program: str, account: Account) -> list[Doubt]:
    """All of them at once, for a thread."""
    return list(doubts(program, account))


def _changeable(
    program: str, path: Path, found: os.stat_result, account: Account
) -> Iterator[Doubt]:
    """Who else could put something of his own there."""
    hint = "Whoever can change it gets the daemon's rights"
    if found.st_mode & stat.S_IWOTH:
        yield Doubt(f"{program} can be changed by everybody", f"{hint}: `chmod o-w {program}`.")
        return
    for folder in path.parents:
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            told = f"{program} can be replaced by everybody, in {folder}"
            yield Doubt(told, f"{hint}: `chmod o-w {folder}`.")
            return
    if found.st_uid not in (0, account.uid):
        told = f"{program} belongs to another user (uid {found.st_uid}), who can change it"
        yield Doubt(told, f"{hint}: `chown root {program}`.", refused=False)
    elif found.st_mode & stat.S_IWGRP and found.st_gid != 0:
        told = f"{program} can be changed by its group (gid {found.st_gid})"
        yield Doubt(told, f"{hint}: `chmod g-w {program}`.", refused=False)


def _may_run(found: os.stat_result, account: Account) -> bool:
    mode = found.st_mode
    if account.uid == 0:
        return bool(mode & 0o111)
    if found.st_uid == account.uid:
        return bool(mode & stat.S_IXUSR)
    return bool(mode & (stat.S_IXGRP if found.st_gid in account.gids else stat.S_IXOTH))


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
