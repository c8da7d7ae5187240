"""How wide text is on a terminal, and text made to fit. Pure.

Letters of Chinese, Japanese and Korean take two columns, accents and colours none. Nothing here
knows what the text says.
"""

import re
from collections.abc import Iterator


def width(text: str) -> int:
    """Columns that a terminal needs for the text."""
    if "\x1b" in text:
        text = re.sub(r"\x1b\[[\d;]*m", "", text)
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width  # noqa: PLC0415 - seldom wanted

    seen = (letter for letter in text if category(letter) not in ("Mn", "Me", "Cf"))
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in seen)


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """The text with blanks up to so many columns; `right` puts them before it."""
    blanks = " " * max(0, columns - width(text))
    return blanks + text if right else text + blanks


def cut(text: str, columns: int) -> str:
    """As much of the text as has room, with a mark where something is missing."""
    if width(text) <= columns:
        return text
    kept = text
    while kept and width(kept) > columns - 1:
        kept = kept[:-1]
    return f"{kept}…" if columns > 0 else ""


def wrapped(text: str, columns: int, *, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most so many columns, broken between words and never in a word or a command.

    `first` opens the first line, before what the text is indented by, and `rest` each after it.
    """
    if not text.strip():
        return []
    first += text[: len(text) - len(text.lstrip())]
    flat = " ".join(text.strip().splitlines())
    words = [word.replace(_TIED, " ") for word in _tied(flat).split(" ")]
    return list(_lines(words, columns, first=first, rest=rest))


_TIED = "\0"
"""Stands for a blank at which no line may be broken."""


def _tied(text: str) -> str:
    """With each command in backquotes as one word, so that it can be copied."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return text
    return "`".join(p.replace(" ", _TIED) if n % 2 else p for n, p in enumerate(parts))


def _lines(words: list[str], columns: int, *, first: str, rest: str) -> Iterator[str]:
    line, bare = first, True
    for word in words:
        if not bare and width(line) + 1 + width(word) > columns:
            yield line.rstrip()
            line, bare = rest, True
        if word or not bare:
            line, bare = f"{line}{word}" if bare else f"{line} {word}", False
    yield line.rstrip()
