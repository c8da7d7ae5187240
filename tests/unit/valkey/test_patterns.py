"""Globs over keys, as the engine's own `stringmatchlen` reads them."""

import pytest

from daemon.valkey.patterns import matcher


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        (b"a*", [b"a", b"ab", b"a\n\xff"], [b"", b"ba"]),
        (b"**b", [b"b", b"ab"], [b"ba"]),
        (b"?", [b"a", b"\n", b"\xff"], [b"", b"ab"]),
        (b"h[ae]llo", [b"hello", b"hallo"], [b"hillo", b"hllo"]),
        (b"h[^e]llo", [b"hallo", b"h^llo"], [b"hello"]),
        (b"[a-c]x", [b"ax", b"bx", b"cx"], [b"dx", b"-x"]),
        (b"[c-a]x", [b"bx"], [b"dx"]),
        (b"[a\\]b]", [b"a", b"]", b"b"], [b"\\"]),
        (b"[ab", [b"a", b"b"], [b"[ab", b"c"]),
        (b"[]", [], [b"", b"]"]),
        (b"[^]", [b"a", b"^"], [b""]),
        (b"a\\*", [b"a*"], [b"ab"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"a.(b|c)$", [b"a.(b|c)$"], [b"axb"]),
    ],
)
def test_glob_fits_what_it_says(pattern: bytes, fitting: list[bytes], others: list[bytes]) -> None:
    """A glob fits whole keys of any bytes, and nothing else."""
    found = matcher([pattern])
    assert [] == [key for key in fitting if not found.fullmatch(key)]
    assert [] == [key for key in others if found.fullmatch(key)]


def test_any_of_several_may_fit() -> None:
    """Several globs fit what any of them does."""
    found = matcher([b"a*", b"?"])
    assert [True, True, False] == [bool(found.fullmatch(key)) for key in (b"abc", b"z", b"zz")]
