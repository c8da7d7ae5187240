"""Bech32: keys come back as they were, and no slip goes unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bech32 import Bech32Error, decode, encode
from tests.support.keys import IDENTITY, RECIPIENT

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@given(st.binary(max_size=60))
def test_what_was_encoded_comes_back(data: bytes) -> None:
    """Any bytes are read back, in lower case and in upper case."""
    text = encode("age", data)
    assert decode(text) == decode(text.upper()) == ("age", data)


def test_the_keys_of_age_are_read() -> None:
    """Recipients and identities, as `age-keygen` writes them, have 32 bytes."""
    assert [("age", 32), ("age-secret-key-", 32)] == [
        (prefix, len(key)) for prefix, key in map(decode, (RECIPIENT, IDENTITY))
    ]


@given(st.integers(4, len(RECIPIENT) - 1), st.sampled_from(LETTERS))
def test_every_mistyped_character_is_found(at: int, letter: str) -> None:
    """One wrong character anywhere behind the prefix is refused."""
    text = RECIPIENT[:at] + letter + RECIPIENT[at + 1 :]
    if text != RECIPIENT:
        with pytest.raises(Bech32Error):
            decode(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "age", "age1", "1qqqqqq", RECIPIENT[:-1], "Age" + RECIPIENT[3:], RECIPIENT + "b"],
)
def test_other_texts_are_refused_without_being_shown(text: str) -> None:
    """Whatever is not Bech32 is refused, and the message shows none of it."""
    with pytest.raises(Bech32Error) as refused:
        decode(text)
    assert len(text) < 8 or text[4:] not in str(refused.value)
