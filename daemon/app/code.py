"""Which code folds the log: a hash of its source, and of what it is run by.

Whatever may change what a record means to the state changes it; more than is needed may do so too,
because folding once more costs little. Read through the import system, so that it works wherever
modules come from.
"""

import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable

PACKAGES = ("events", "projections")
LIBRARIES = ("msgspec", "immutables")


def code_hash() -> str | None:
    """The hash, hexadecimal; None where the source or a library's version cannot be had."""
    digest = sha256(sys.version.encode())
    try:
        for name in LIBRARIES:
            digest.update(f"\n{name} {version(name)}\n".encode())
        for package in PACKAGES:
            sources = sorted(_sources(files(package), package))
            if not sources:
                return None
            for name, source in sources:
                digest.update(f"{name} {len(source)}\n".encode() + source)
    except (OSError, ImportError, PackageNotFoundError):
        return None
    return digest.hexdigest()


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{name}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{name}/{entry.name}", entry.read_bytes()
