"""The spool, from its configuration to a folder that is swept and can be written to.

Knows what a person is told at start: a folder that cannot be used ends the start, a disk that
has less than the spool may hold is a warning, for the spool then makes do with less.
"""

from pathlib import Path

import structlog

from daemon.config import Config, size_bytes
from daemon.errors import BadRequest, Failed
from daemon.ports import Offload
from daemon.storage.spool import SHARE, Bounds, Spool
from events.facts import InstallationId

log = structlog.get_logger()

NAME = "spool"
_SETTING = "directory in [spool] says where it is."


async def open_spool(
    config: Config, installation: InstallationId, offload: Offload
) -> Spool | None:
    """The spool, without what an earlier run left in it; None if it is turned off.

    No attempt outlives the process, so all that this installation left there is garbage (A6).
    Raises `BadRequest` for a folder that cannot be used.
    """
    folder = Path(config.spool.directory or Path(config.daemon.data_dir, NAME))
    max_bytes = size_bytes(config.spool.max_bytes) or 0
    if not max_bytes and not await offload(folder.is_dir):
        return None
    await offload(_make, folder)
    spool = Spool(Bounds(str(folder), installation, max_bytes), offload)
    try:
        swept = await spool.sweep()
        free_bytes = await spool.free_bytes()
    except Failed as error:
        raise BadRequest(
            "spool", f"At start, {error.message}.", f"{error.hint}; {_SETTING}"
        ) from error
    if swept.files:
        log.info("spool swept", files=swept.files, size_bytes=swept.size_bytes, folder=str(folder))
    if swept.others:
        log.warning("spool holds files of others", files=swept.others, folder=str(folder))
    if free_bytes * SHARE[0] // SHARE[1] < max_bytes:
        log.warning("spool larger than its disk", free_bytes=free_bytes, max_bytes=max_bytes)
    return spool if max_bytes else None


def _make(folder: Path) -> None:
    """A folder for us alone, if there is none."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(
            "folder",
            f"The folder {folder} cannot be made: {error.strerror}.",
            f"The daemon's user must be able to write there; {_SETTING}",
        ) from None
