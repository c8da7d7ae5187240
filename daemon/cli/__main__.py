"""So that ``python -m daemon.cli`` is ``valkeep``."""

from daemon.cli.main import main

main()
