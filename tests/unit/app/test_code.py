"""Which code folds the log: whatever may change the fold changes the hash."""

import zipfile
from importlib import invalidate_caches, metadata
from pathlib import Path

import pytest

from daemon.app import code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that stands for those that fold."""
    folder = tmp_path / f"folds_{tmp_path.name}"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text("ONE = 1\n")
    (folder / "inner" / "two.py").write_text("TWO = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(code, "PACKAGES", (folder.name,))
    return folder


def test_it_is_the_same_for_the_same_code() -> None:
    """Two looks at our own source give one hash, and it is that of both packages."""
    assert code.code_hash() == code.code_hash() is not None


@pytest.mark.parametrize("file", ["one.py", "inner/two.py", "three.py"])
def test_any_source_changes_it(package: Path, file: str) -> None:
    """A file that is changed, or new, makes another hash; what is no source does not."""
    before = code.code_hash()
    (package / "one.pyc").write_bytes(b"compiled")
    assert code.code_hash() == before
    (package / file).write_text("NOW = 3\n")

    assert code.code_hash() not in (before, None)


def test_moved_text_changes_it(package: Path) -> None:
    """The same text in other files is other code."""
    before = code.code_hash()
    (package / "one.py").rename(package / "other.py")

    assert code.code_hash() != before


@pytest.mark.parametrize("library", code.LIBRARIES)
def test_libraries_change_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of what the fold is made with makes another hash."""
    before, real = code.code_hash(), metadata.version
    monkeypatch.setattr(code, "version", lambda name: "0" if name == library else real(name))

    assert code.code_hash() not in (before, None)


def test_packages_in_an_archive(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that lies in a zip file is read as any other."""
    before = code.code_hash()
    archive = package.parent / "packed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(package.rglob("*.py")):
            packed.write(path, f"zip_{package.name}/{path.relative_to(package)}")
    monkeypatch.syspath_prepend(str(archive))
    monkeypatch.setattr(code, "PACKAGES", (f"zip_{package.name}",))
    invalidate_caches()

    assert code.code_hash() not in (before, None)


def test_without_source_there_is_none(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can tell which code it is, no state is known as its own."""
    for path in package.rglob("*.py"):
        path.unlink()
    assert code.code_hash() is None

    monkeypatch.setattr(code, "PACKAGES", ("valkeep_is_not_here",))
    assert code.code_hash() is None
