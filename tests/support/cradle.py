"""The process that daemons are forked from; see `nursery`.

It has no threads and no event loop of its own, so that a fork of it is as good as new.
"""

import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import assert_never
from unittest.mock import patch

import msgspec
from anyio import open_process, open_signal_receiver
from anyio._backends import _asyncio
from botocore.session import get_session

from daemon.app import serve
from daemon.storage import s3_client
from tests.support import doomed
from tests.support.nursery import Answer, Birth, Wake

BUG = 70
"""The exit code of a child whose own program failed."""


def live(birth: Birth) -> int:
    """A child's whole life."""
    os.setsid()
    with Path(birth.output).open("ab") as sink, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    with patch.dict("os.environ", birth.environment, clear=True):
        if birth.doom is not None:
            return doomed.main(birth.config, doom=birth.doom)
        return serve(birth.config)


def born(birth: Birth) -> int:
    """Fork; the child's pid. The child never returns."""
    pid = os.fork()
    if pid:
        return pid
    code = BUG
    try:
        code = live(birth)
    finally:
        # Also when an exception is on its way: it must not get into the parent's loop.
        sys.excepthook(*sys.exc_info()) if code == BUG else None
        sys.stderr.flush()
        os._exit(code)


USED = (_asyncio, open_process, open_signal_receiver)
"""What anyio would import when it is first wanted: in every child anew."""


def prepare() -> None:
    """What every daemon would do alike, done once: all is imported, and what S3 is like is read.

    What is there by now is set aside, so that no child looks through it for rubbish: it would
    find none, and get a copy of every page that it looks at.
    """
    session = get_session()
    session.register_component("data_loader", s3_client._models(None))
    session.create_client("s3", "nowhere", aws_access_key_id="-", aws_secret_access_key="-")
    gc.collect()
    gc.freeze()


def main() -> None:
    """Answer until nobody asks any more."""
    prepare()
    questions = msgspec.json.Decoder(Birth | Wake)
    living: set[int] = set()
    for line in sys.stdin.buffer:
        match questions.decode(line):
            case Birth() as birth:
                number = born(birth)
                living.add(number)
            case Wake(pid=pid):
                number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                living.discard(pid)
            case other:
                assert_never(other)
        sys.stdout.buffer.write(msgspec.json.encode(Answer(number)) + b"\n")
        sys.stdout.buffer.flush()
    for pid in living:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
