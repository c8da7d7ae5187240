"""What a second vault must be: another one, configured, and no less encrypted than it demands.

Pure. A document may be wrong in other ways; what has not the form is passed over here.
"""

from collections.abc import Iterator, Mapping

from daemon.config.problem import Wrong, near_miss

Table = Mapping[str, object]


def second_vault(cache: Table, vaults: Mapping[str, Table]) -> Iterator[Wrong]:
    """What is wrong with a cache's `copy_to`."""
    second = cache.get("copy_to")
    if not isinstance(second, str) or not vaults:
        return
    first = cache.get("vault", next(iter(vaults)))
    others = [name for name in vaults if name != first]
    if second == first:
        allowed = f"Allowed: {', '.join(others)}." if others else "Add another vault for it."
        yield Wrong("is the vault that the backups themselves go to", allowed)
    elif second not in vaults:
        allowed = f"{near_miss(second, others)}Allowed: {', '.join(others)}."
        if not others:
            allowed = f"Add it: [vaults.{second}] with a url." if _is_name(second) else "Add one."
        yield Wrong(f'is "{second}", and there is no such vault', allowed)
    elif (
        isinstance(first, str)
        and first in vaults
        and _plain_into_sealed(vaults, first=first, second=second)
    ):
        yield Wrong(
            f"has recipients, and vaults.{first} has none: plain data would go there",
            f"A copy is the stored bytes as they are: give vaults.{first} recipients as well.",
        )


def _plain_into_sealed(vaults: Mapping[str, Table], *, first: str, second: str) -> bool:
    return bool(vaults[second].get("recipients")) and not vaults[first].get("recipients")


def _is_name(text: str) -> bool:
    return text.replace("-", "").replace("_", "").isalnum()
