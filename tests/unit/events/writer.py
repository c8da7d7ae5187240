"""A process that appends until it is killed, and says what was acknowledged: for `test_crash`.

Prints a line with the log's head after opening, and one after each acknowledged batch.
"""

import os
import sys
from pathlib import Path

import anyio

from events.sqlite import open_log
from tests.support.commits import chain_of


async def main(path: str) -> None:
    """Append batches of 1 to 7 commits, for ever."""
    async with open_log(Path(path), pid=os.getpid()) as log:
        while True:
            head = await log.head()
            sys.stdout.write(f"{head.position}\n")
            sys.stdout.flush()
            await log.append(chain_of(head.position % 7 + 1, after=head.position))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
