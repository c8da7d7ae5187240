"""Finding and reading the configuration: a file, or a user's own folders without one."""

import os
from pathlib import Path

from msgspec import Struct

from daemon.app.prices import prices_of
from daemon.commands import DeclaredCache, ReconcileCaches, ReconcileHooks
from daemon.config import Config, default_config, load
from daemon.config.folders import user_folders
from daemon.config.hooks import hooks_of
from daemon.errors import BadRequest

LOG_NAME = "events.db"
"""The event log's file in `data_dir`."""
STATE_NAME = "state.snapshot"
"""The state that was folded from it, beside it; may be deleted at any time (L5)."""
SYSTEM_FILE = Path("/etc/valkeep/valkeep.toml")


class Settings(Struct, frozen=True):
    """A configuration and the file it came from; None when there is no file."""

    config: Config
    file: Path | None

    def declared(self) -> ReconcileCaches:
        """What the file declares as the ledger takes it: caches, policies (C3), prices (S3)."""
        policies = self.config.policies
        caches = tuple(
            DeclaredCache(name, settings, policies.get(name))
            for name, settings in sorted(self.config.caches.items())
        )
        file = str(self.file or "the configuration")
        return ReconcileCaches(caches, file, prices_of(self.config))

    def hooks(self) -> ReconcileHooks:
        """The hooks that the file has, as the ledger takes them."""
        return ReconcileHooks(hooks_of(self.config.hooks), str(self.file or "the configuration"))


def read(file: str | None) -> Settings:
    """The configuration from a given file, the system's file, or the user's own folders."""
    path = Path(file) if file is not None else SYSTEM_FILE
    if file is None and not path.exists():
        return Settings(_without_file(), None)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadRequest(
            "config-unreadable",
            f"The configuration {path} cannot be read: {reason}.",
            "Check the path and its permissions; `valkeep config init` prints an example.",
        ) from None
    return Settings(load(text, path), path.absolute())


def _without_file() -> Config:
    if os.geteuid() == 0:
        raise BadRequest(
            "config-missing",
            f"There is no configuration: {SYSTEM_FILE} does not exist.",
            f"`valkeep config init > {SYSTEM_FILE}` writes an example; or name one: --config FILE.",
        )
    return default_config(**user_folders(os.environ))
