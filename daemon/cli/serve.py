"""`valkeep serve`: run the daemon in this process."""

import click


@click.command()
@click.option("--config", "file", metavar="FILE", help="The configuration file.")
def serve(file: str | None) -> None:
    """Run the daemon, by FILE, by the system's configuration, or without root by neither."""
    from daemon.app import serve as run  # noqa: PLC0415 - only the daemon needs all that

    raise click.exceptions.Exit(run(file))
