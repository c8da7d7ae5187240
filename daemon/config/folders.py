"""A user's own folders, where the daemon lives without a configuration file."""

from collections.abc import Mapping
from pathlib import Path


def user_folders(environment: Mapping[str, str]) -> dict[str, Path]:
    """The folders that the XDG base directory specification gives a user.

    Without ``XDG_RUNTIME_DIR`` the socket goes below the state folder: a name in ``/tmp`` could
    be taken by anybody before us. Keys are the parameters of `default_config`.
    """
    home = Path(environment.get("HOME") or Path.home())
    state = Path(environment.get("XDG_STATE_HOME") or home / ".local/state")
    runtime = environment.get("XDG_RUNTIME_DIR")
    return {
        "data_home": Path(environment.get("XDG_DATA_HOME") or home / ".local/share"),
        "runtime_dir": Path(runtime) if runtime else state / "valkeep" / "run",
        "state_home": state,
    }
