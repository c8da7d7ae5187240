"""Where the daemon lives when nobody has configured it."""

from pathlib import Path

from daemon.config.folders import user_folders


def test_a_users_own_folders_are_where_xdg_says() -> None:
    """The variables decide; without them the folders below the home do."""
    home = {"HOME": "/home/ann", "XDG_RUNTIME_DIR": "/run/user/7"}

    assert user_folders(home) == {
        "data_home": Path("/home/ann/.local/share"),
        "runtime_dir": Path("/run/user/7"),
        "state_home": Path("/home/ann/.local/state"),
    }
    assert Path("/d") == user_folders({**home, "XDG_DATA_HOME": "/d"})["data_home"]
    assert Path("/s") == user_folders({**home, "XDG_STATE_HOME": "/s"})["state_home"]


def test_without_a_runtime_folder_the_socket_stays_among_the_users_own() -> None:
    """Nothing is ever put where others could have taken the name."""
    folders = user_folders({"HOME": "/home/ann"})

    assert folders["runtime_dir"].is_relative_to("/home/ann")
