"""Bech32 (BIP 173), in which age writes its keys: a prefix, 32 bytes, and a checksum.

Pure, and knows no keys. Errors never show the text: it may be a secret.
"""

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6


class Bech32Error(ValueError):
    """The text is not Bech32; the message says why, and shows none of it."""


def decode(text: str) -> tuple[str, bytes]:
    """Prefix (lower case) and bytes of a text in one case; `Bech32Error` for anything else."""
    if text.lower() != text and text.upper() != text:
        raise Bech32Error("it mixes upper and lower case")
    prefix, separator, written = text.lower().rpartition("1")
    if not (prefix and separator and prefix.isascii() and prefix.isprintable()):
        raise Bech32Error('it has no "1" behind a prefix')
    values = [_ALPHABET.find(character) for character in written]
    if len(values) < _CHECKSUM or min(values) < 0:
        raise Bech32Error("it has a character that cannot be there, or too few")
    if _polymod([*_expanded(prefix), *values]) != 1:
        raise Bech32Error("its checksum is wrong: a character is missing or mistyped")
    return prefix, _bytes(values[:-_CHECKSUM])


def encode(prefix: str, data: bytes) -> str:
    """The text, in lower case."""
    number = int.from_bytes(data, "big")
    count = -(-len(data) * 8 // 5)
    number <<= count * 5 - len(data) * 8
    values = [number >> 5 * (count - 1 - i) & 31 for i in range(count)]
    rest = _polymod([*_expanded(prefix), *values, *([0] * _CHECKSUM)]) ^ 1
    checksum = [rest >> 5 * (_CHECKSUM - 1 - i) & 31 for i in range(_CHECKSUM)]
    return f"{prefix}1{''.join(_ALPHABET[value] for value in values + checksum)}"


def _bytes(values: list[int]) -> bytes:
    """Eight bits out of five; what is left over must be padding of zeros."""
    number = 0
    for value in values:
        number = number << 5 | value
    left = len(values) * 5 % 8
    if left >= 5 or number & ((1 << left) - 1):
        raise Bech32Error("it does not end at a byte")
    return (number >> left).to_bytes(len(values) * 5 // 8, "big")


def _expanded(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, factor in enumerate(_GENERATOR):
            check ^= factor if top >> i & 1 else 0
    return check
