"""The rules for addresses, against the parts of the daemon that will use those addresses.

The configuration may not import them, so the rules are written twice; here they must agree.
"""

from hypothesis import example, given
from hypothesis import strategies as st

from daemon.config import rules
from daemon.storage.age import public_key
from daemon.storage.factory import bucket_of, directory_of
from daemon.valkey import address
from tests.support.keys import BOTH, IDENTITY, RECIPIENT

BEGINNINGS = [
    "valkey://",
    "redis://",
    "valkeys://",
    "unix:///",
    "unix://",
    "file:///",
    "file:",
    "s3://",
    "//",
    "",
]
AUTHORITIES = ["host", "bucket", "10.0.0.1", "[::1]", "ann@", "ann:pw@", "@", "é", ""]
REST = st.lists(st.sampled_from([*"/:?#&.@\\ a", "6379", "..", "%20", "%00"]), max_size=3)
ENDS = ["", "/", ":6379", ":0", "/run/s", "/team-x/a_b", "?user=ann", "?user=", "x" * 110]
URLS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(BEGINNINGS),
    st.sampled_from(AUTHORITIES),
    REST.map("".join),
    st.sampled_from(ENDS),
)


@given(URLS)
@example("unix://ann@/run/s")
@example("valkey://host:0")
@example("valkey://ann@host")
@example("unix:///run/s?user=")
def test_a_cache_that_is_configured_can_be_connected_to(url: str) -> None:
    """Every address of a cache that the configuration takes is one that the daemon can use."""
    if rules.cache_url(url) is None:
        address.parse(url)


@given(URLS)
@example("file:///var/backups/x%3Fy")
@example("s3://bucket/team-x/a_b")
def test_a_vault_that_is_configured_can_be_opened(url: str) -> None:
    """Every address of a vault that the configuration takes is one that storage can use."""
    if rules.vault_url(url) is None:
        directory_of(url) if url.startswith("file:") else bucket_of(url)


TEXTS = st.sampled_from([*BOTH, IDENTITY, "age1", "ssh-ed25519 AAAA", ""])


@given(TEXTS, st.integers(0, 61), st.sampled_from(["", "q", "1", "A", " "]))
@example(RECIPIENT.upper(), 0, "A")
def test_a_recipient_that_is_configured_can_be_encrypted_to(text: str, at: int, by: str) -> None:
    """Every recipient that the configuration takes is one that storage can encrypt to."""
    changed = text[:at] + by + text[at + 1 :] if by else text
    if rules.recipient(changed) is None:
        assert 32 == len(public_key(changed))
