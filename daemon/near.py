"""Near misses: the name that was probably meant by one that there is not. Pure.

The one place where likeness is measured and told; who asks knows which names there are.
"""

from collections.abc import Iterable

_LIKE = 0.6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, whatever its case; None if none is like it.

    Of names in two parts, as ``orders/nightly``, the last part alone is taken for the whole.
    """
    names = sorted(known)
    said = name.casefold()
    if not said:
        return None
    for exact in names:
        if said in (exact.casefold(), exact.rpartition("/")[2].casefold()):
            return exact
    from difflib import get_close_matches  # noqa: PLC0415 - slow to import, only for a slip

    folded = {one.casefold(): one for one in reversed(names)}
    near = get_close_matches(said, sorted(folded), n=1, cutoff=_LIKE)
    return folded[near[0]] if near else None


def meant(name: str, known: Iterable[str]) -> str:
    """``Did you mean 'orders'?`` for a name that is nearly a known one, else nothing."""
    near = nearest(name, known)
    return "" if near is None else asked(near)


def asked(near: str) -> str:
    """The question itself: every suggestion is made in these words."""
    return f"Did you mean '{near}'?"
