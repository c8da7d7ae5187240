"""Sizes in the words of people, for reasons and messages that the Valkey side records."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def amount(count_bytes: float) -> str:
    """``1.2 GiB``; a whole number of bytes below one KiB."""
    unit = 0
    while count_bytes >= 1023.95 and unit < len(_UNITS) - 1:
        count_bytes /= 1024
        unit += 1
    return f"{count_bytes:.0f} bytes" if unit == 0 else f"{count_bytes:.1f} {_UNITS[unit]}"
