"""`valkeep backup`: make, list, verify, cancel, delete; each imported only when it is called."""

from collections.abc import Mapping

import click

from daemon.cli.tree import Branch, Tree


class Backup(Tree):
    """What can be done with backups."""

    branches: Mapping[str, Branch] = {
        "create": Branch("daemon.cli.backup_deed", "create", "Make a backup and keep it."),
        "list": Branch("daemon.cli.backup_list", "list_backups", "List backups, oldest first."),
        "show": Branch("daemon.cli.backup_page", "show", "Show all that is known of one."),
        "cancel": Branch("daemon.cli.backup_cancel", "cancel", "End one that is being made."),
        "verify": Branch("daemon.cli.backup_verify", "verify", "Prove that one can be restored."),
        "import": Branch("daemon.cli.backup_import", "import_", "Keep an RDB of yours as one."),
        "delete": Branch("daemon.cli.backup_deed", "delete", "Delete one for good."),
        "copy": Branch("daemon.cli.backup_word", "copy", "Copy one into another vault."),
        "export": Branch("daemon.cli.backup_export", "export", "Export one as plain RDB files."),
        "diff": Branch("daemon.cli.backup_diff", "diff", "Tell what differs from one to another."),
        "ack": Branch("daemon.cli.backup_word", "ack", "Say that a suspect one is all right."),
    }


@click.group("backup", cls=Backup)
def backup() -> None:
    """Make, list, show, cancel and delete backups."""
