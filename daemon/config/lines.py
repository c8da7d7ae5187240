"""Where each setting stands in a TOML text: its line, which `tomllib` does not tell.

Reads only texts that `tomllib` has accepted, so it judges nothing and understands no
value: it finds keys, skips values, and knows comments and strings for what they are.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

Place = tuple[str | int, ...]
"""Keys from the top of the document; a number is an index into an array."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'  # up to two quotes may stand before the closing three
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def locate(text: str) -> Mapping[Place, int]:
    """The line, from 1, on which each table, key and array element begins.

    The text must be valid TOML. A table that is opened more than once, as the parent of
    others, has the line where it is first named.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """A cursor over the text; every method leaves it behind what it has read."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._last: dict[Place, int] = {}  # arrays of tables: the index of their newest table

    def document(self) -> None:
        """All statements: headers, and keys with their values."""
        table: Place = ()
        while self._here(_BLANK):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        """``[table]`` or ``[[table]]``: the place that the keys after it belong to."""
        opened = self._at
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        *parents, name = self._key()
        self._at += 2 if is_array else 1
        place = self._note((), parents, opened)
        if is_array:
            place = (*place, name)
            self._last[place] = self._last.get(place, -1) + 1
            self._found(place, opened)
            return self._found((*place, self._last[place]), opened)
        return self._note(place, [name], opened)

    def _pair(self, table: Place) -> None:
        """``key = value``, in a table or an inline table."""
        opened = self._at
        place = self._note(table, self._key(), opened)
        self._at += 1  # the equals sign
        self._value(place)

    def _key(self) -> list[str]:
        """A bare, quoted or dotted key, as its parts."""
        parts = []
        while True:
            self._here(_SPACE)
            if quoted := self._take(_STRING):
                parts.append(str(tomllib.loads(f"key = {quoted}")["key"]))
            else:
                parts.append(self._take(_BARE_KEY))
            self._here(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, place: Place) -> None:
        """Skip one value; arrays and inline tables are noted from within."""
        self._here(_BLANK)
        opening = self._text[self._at]
        if opening == "[":
            self._array(place)
        elif opening == "{":
            self._inline_table(place)
        elif not self._take(_STRING):
            self._take(_SCALAR)

    def _array(self, place: Place) -> None:
        index = 0
        while self._next_inside("]"):
            element = self._found((*place, index), self._at)
            self._value(element)
            index += 1

    def _inline_table(self, place: Place) -> None:
        while self._next_inside("}"):
            self._pair(place)

    def _next_inside(self, closing: str) -> bool:
        """Step over an opening bracket or a comma; False, and behind it, at the closing one."""
        self._here(_BLANK)
        if self._text[self._at] != closing:
            self._at += self._text[self._at] in "[{,"
            self._here(_BLANK)
        ended = self._text[self._at] == closing
        self._at += ended
        return not ended

    def _note(self, table: Place, parts: list[str], opened: int) -> Place:
        """Each part of a dotted name, entering the newest table of an array of tables."""
        for part in parts:
            table = self._found((*table, part), opened)
            if table in self._last:
                table = (*table, self._last[table])
        return table

    def _found(self, place: Place, opened: int) -> Place:
        self.lines.setdefault(place, bisect_right(self._starts, opened))
        return place

    def _here(self, skipped: re.Pattern[str]) -> bool:
        """Skip what may stand here; False at the end of the text."""
        self._take(skipped)
        return self._at < len(self._text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()
