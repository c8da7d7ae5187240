"""What a vault needs to be opened. Knows no environment and no file: secrets are handed in."""

from typing import Literal

from msgspec import Struct


class VaultSettings(Struct, frozen=True):
    """Where a vault is and how to reach it; without keys the usual AWS chain is asked.

    Never printed: it holds the keys themselves.
    """

    url: str
    endpoint_url: str | None = None
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key_id: str | None = None
    secret_access_key: str | None = None
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"VaultSettings({self.url!r}, …)"
