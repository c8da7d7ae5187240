"""Writes every page that is made of the program: `make docs`."""

import sys

from tests.docs.pages import DOCS, GENERATED


def main() -> None:
    """Write those that are not what they should be, and tell their names."""
    for name, made in GENERATED.items():
        path, text = DOCS / name, made()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
