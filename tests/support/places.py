"""Places for a vault that a test can look into: a directory, and a bucket of an S3 server."""

import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from tests.support.daemon import S3_KEYS, directory_vault, s3_vault
from tests.support.s3 import BUCKET, rclone_s3


class Place(Struct, frozen=True):
    """Where a vault is: as a configuration says it, and as a folder that can be looked into."""

    config: str
    folder: Path
    environment: Mapping[str, str] = {}

    def names(self, prefix: str = "") -> list[str]:
        """The names of all objects, in order."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path) for path in paths if str(path).startswith(prefix))

    def segments(self) -> list[str]:
        """The copies of the log that lie there."""
        return [name for name in self.names("log/") if "aside" not in name]

    def manifests(self) -> list[str]:
        """The ids of the backups that exist there."""
        names = self.names("caches/")
        return sorted(name.split("/")[2] for name in names if name.endswith("manifest.json"))

    def without_copies(self) -> None:
        """Take away all copies of the log."""
        shutil.rmtree(self.folder / "log")


@asynccontextmanager
async def place_for(kind: str, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """A fresh ``directory`` or ``rclone`` vault."""
    if kind == "directory":
        yield Place(directory_vault(tmp_path / "vault"), tmp_path / "vault")
        return
    async with rclone_s3(tmp_path) as server:
        yield Place(s3_vault(server), tmp_path / BUCKET / "team", S3_KEYS)
