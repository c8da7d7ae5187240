"""`valkeep backup`: make, list, show, verify, delete; each imported only when it is called."""

from collections.abc import Mapping

import click

from daemon.cli.tree import Branch, Tree


class Backup(Tree):
    """What can be done with backups."""

    branches: Mapping[str, Branch] = {
        "create": Branch("daemon.cli.backup_deed", "create", "Make a backup and keep it."),
        "list": Branch("daemon.cli.backup_list", "list_backups", "List backups, oldest first."),
        "show": Branch("daemon.cli.backup_page", "show", "Show all that is known of one."),
        "verify": Branch("daemon.cli.backup_verify", "verify", "Prove that one can be restored."),
        "delete": Branch("daemon.cli.backup_deed", "delete", "Delete one for good."),
    }


@click.group("backup", cls=Backup)
def backup() -> None:
    """Make, list, show and delete backups."""
