"""What `config check` doubts about hooks: their programs as they are on this host, and caches.

Only warnings: the file may be meant for another host, and a program may be yet to come.
"""

import os
import pwd
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from daemon.config import Config
from daemon.config.hooks import hooks_of
from daemon.config.lines import locate
from daemon.hooks.program import Account, doubts, myself

DAEMON_USER = "valkeep"


def hook_doubts(config: Config, text: str, file: Path) -> Iterator[str]:
    """A warning for each, with the line, and what to do below it."""
    lines = locate(text)
    account = _account()
    for name, hook in config.hooks.items():
        where = f"{file}:{lines.get(('hooks', name, 'command'), '?')}"
        try:
            found = list(doubts(hook.command[0], account))
        except OSError as error:
            yield f"warning: {where}: hooks.{name}: its program hides: {error.strerror}."
            continue
        for doubt in found:
            outcome = "It would not be run" if doubt.refused else "It would be run"
            yield f"warning: {where}: hooks.{name}.command: {doubt.message}. {outcome}."
            yield f"  hint: {doubt.hint}"
    for name in _for_nobody(config):
        where = f"{file}:{lines.get(('hooks', name, 'caches'), '?')}"
        yield f"warning: {where}: hooks.{name}.caches: none of the caches in this file is meant."
        yield "  hint: Correct it, unless it is for caches that are added by command."


def _for_nobody(config: Config) -> Iterator[str]:
    for hook in hooks_of(config.hooks):
        is_meant = any(fnmatchcase(c, pattern) for pattern in hook.caches for c in config.caches)
        if config.caches and not is_meant:
            yield hook.name


def _account() -> Account:
    """The daemon's user, where root asks and there is one; else whoever asks."""
    if os.geteuid() != 0:
        return myself()
    try:
        entry = pwd.getpwnam(DAEMON_USER)
    except KeyError:
        return myself()
    return Account(entry.pw_uid, frozenset(os.getgrouplist(DAEMON_USER, entry.pw_gid)))
