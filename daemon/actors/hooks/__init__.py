"""Running the user's hooks: before backups and restores, and after they have ended."""

from daemon.actors.hooks.after import AfterHooks
from daemon.actors.hooks.before import BeforeHooks
from daemon.actors.hooks.facts import facts_of

__all__ = ["AfterHooks", "BeforeHooks", "facts_of"]
