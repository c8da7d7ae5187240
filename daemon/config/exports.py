"""What a place for exports must be: none that a vault is in. Pure.

Files in a vault's place that are none of its own would be reported as unknown, and might be
taken for its own.
"""

from collections.abc import Iterator, Mapping

from daemon.config.lines import Place
from daemon.config.problem import Wrong

Table = Mapping[str, object]


def inside_vaults(
    exports: Mapping[str, Table], *, vaults: Mapping[str, Table]
) -> Iterator[tuple[Place, Wrong]]:
    """The entries that lie in a vault."""
    for name, export in exports.items():
        for vault_name, vault in vaults.items():
            same_server = export.get("endpoint_url") == vault.get("endpoint_url")
            if same_server and lies_in(str(export.get("url", "")), place=str(vault.get("url", ""))):
                wrong = f"lies in vaults.{vault_name}"
                yield ("exports", name, "url"), Wrong(wrong, "Allowed: a place of its own.")


def lies_in(url: str, *, place: str) -> bool:
    """Whether a URL is a place's, or below it."""
    above = place.rstrip("/")
    return bool(above) and f"{url.rstrip('/')}/".startswith(f"{above}/")
