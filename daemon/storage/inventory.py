"""What lies in a vault by its own listing, as far as it comes; nothing is concluded here."""

from contextlib import aclosing

import anyio
from msgspec import Struct

from daemon.storage.vault import ObjectInfo, Vault


class Stock(Struct, frozen=True):
    """Objects in name order; not `whole` when there was no time or room for the rest."""

    objects: tuple[ObjectInfo, ...]
    whole: bool


async def take_stock(vault: Vault, *, seconds: float, most: int) -> Stock:
    """All objects, or those that were listed in time. Raises what the vault raises."""
    found: list[ObjectInfo] = []
    whole = False
    with anyio.move_on_after(seconds):
        whole = await _list(vault, found, most)
    return Stock(tuple(found), whole)


async def _list(vault: Vault, found: list[ObjectInfo], most: int) -> bool:
    """Add to what was found; whether that is all there is."""
    async with aclosing(vault.list("")) as infos:
        async for info in infos:
            if len(found) == most:
                return False
            found.append(info)
    return True
