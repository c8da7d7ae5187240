"""The reader of pages: notices when a page shows what is not so, and tells blocks apart."""

from pathlib import Path

import pytest

from tests.docs.follow import agrees
from tests.docs.pages import blocks

TOLD = """\
CACHE  TAKEN     STORED
shop   just now  5.8 KiB
main agrees: backup 20261123T062738Z-4b2e919a

The end.
"""
PAGE = """\
# A page

## One

<!-- not run: it
takes two lines -->
```console
$ no
```

1. In a list:

   ```console
   $ valkeep status     # as it is
   All is well.
   $ cat <<'EOF' | two \\
       lines
   text
   EOF
   # valkeep check
   ```
"""


@pytest.mark.parametrize(
    "shown",
    [
        (),
        ("",),
        tuple(TOLD.splitlines()),
        ("CACHE  TAKEN        STORED", "shop   3 days ago  120 GiB", "…"),
        ("...", "main agrees: backup 20250101T000000Z-00000000", "..."),
        ("CACHE …", "shop …", "…", "The …."),
    ],
)
def test_figures_and_what_is_left_out_may_differ(shown: tuple[str, ...]) -> None:
    """A page agrees with an answer that has other figures, and more where it says so."""
    assert agrees(shown, TOLD)


@pytest.mark.parametrize(
    "shown",
    [
        ("CACHE  TAKEN     STORED",),
        ("CACHE  TAKEN     SIZE", "…"),
        ("shop   just now  5.8 KiB", "…"),
        ("…", "main disagrees: backup 20261123T062738Z-4b2e919a", "…"),
        ("…", "main agrees: backup 20261123T062738Z-4b2e919a", "The end."),
        (*TOLD.splitlines(), "More."),
    ],
)
def test_words_may_not(shown: tuple[str, ...]) -> None:
    """A page that has other words, other columns, less without saying so, or more is found out."""
    assert not agrees(shown, TOLD)


def test_a_page_is_read_as_it_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks have their section and their reason; commands go on over lines, and have answers."""
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(PAGE)

    left, run = blocks(tmp_path / "page.md")

    assert ("it\ntakes two lines", "page.md:7", "One") == (left.not_run, left.place, left.section)
    assert not run.not_run
    first, second, third = run.steps
    assert ("valkeep status     # as it is", ("All is well.",)) == (first.command, first.shown)
    assert "cat <<'EOF' | two \\\n    lines\ntext\nEOF" == second.command
    assert "valkeep check" == third.command
