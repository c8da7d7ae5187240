"""Names of keys on a screen: nothing that moves the cursor, and never wider than there is room.

Pure. What a terminal shows in two columns counts as two; what is no text is told byte by byte.
"""

from base64 import b64decode
from unicodedata import combining, east_asian_width

_SHORT = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}
_GAP = "…"


def raw(text: str | None, *, encoded: str | None) -> bytes:
    """A name as it is, from its text or its base64."""
    return text.encode() if text is not None else b64decode(encoded or "")


def shown(name: bytes, width: int) -> str:
    """A name in so many columns: escaped, and shortened in the middle."""
    signs = _signs(name)
    if sum(map(_columns, signs)) <= width:
        return "".join(signs) or '""'
    tail = _fitting(signs[::-1], (width - 1) // 3)[::-1]
    head = _fitting(signs, width - 1 - sum(map(_columns, tail)))
    return "".join((*head, _GAP, *tail))


def _fitting(signs: list[str], width: int) -> list[str]:
    """As many of the first signs as there is room for."""
    taken: list[str] = []
    for sign in signs:
        width -= _columns(sign)
        if width < 0:
            break
        taken.append(sign)
    return taken


def _columns(sign: str) -> int:
    if len(sign) > 1:
        return len(sign)
    if combining(sign):
        return 0
    return 2 if east_asian_width(sign) in "WF" else 1


def _signs(name: bytes) -> list[str]:
    """What is shown for each character, or for each byte that belongs to none."""
    text = name.decode("utf-8", "surrogateescape")
    return [_sign(character) for character in text]


def _sign(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code in _SHORT:
        return _SHORT[code]
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
