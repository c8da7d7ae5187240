"""Running a hook: a command of the user's own, with a bound and without anything left of it.

Knows processes, and nothing of backups or of the log.
"""

from daemon.hooks.process import Command, HookRunner, Runner

__all__ = ["Command", "HookRunner", "Runner"]
