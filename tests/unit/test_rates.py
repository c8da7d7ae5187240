"""Bandwidth as people write it (V7)."""

import pytest

from daemon.rates import BadRate, rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100MB", 100_000_000),
        ("100MB/s", 100_000_000),
        ("100 MB /s", 100_000_000),
        (" 1GB ", 10**9),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("12.5MiB/s", 13_107_200),
        ("0.5GiB", 1 << 29),
        ("100GB", 100 * 10**9),
    ],
)
def test_rates(text: str, expected: int) -> None:
    """A number with a unit is so many bytes per second: KB by 1,000, KiB by 1,024."""
    assert expected == rate(text)


@pytest.mark.parametrize("text", [None, "", "  ", "0", "00", "0.0", "0MB", "0 KiB/s", "0/s"])
def test_no_limit(text: str | None) -> None:
    """Nothing, an empty text and nought are no limit."""
    assert rate(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("100", "MB", "100mb", "100Mb", "-1MB", "1e3MB", "1,5MB", ".5MB", "1.MB"),
        *("100MB/m", "100MB/s/s", "1KB 2", "1 000KB", "١MB", "9" * 40 + "MB"),
        *("999.999KiBs", "0.9KB", "101GB", "94GiB", "1TB", "0.01KB"),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """What has no unit, an unknown one, or is out of range is refused, without showing it."""
    with pytest.raises(BadRate) as caught:
        rate(text)

    assert text not in str(caught.value)
