"""Task groups wrap every error in a group; callers of this package want the error itself."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_error() -> Iterator[None]:
    """Raise the first error of an `ExceptionGroup`, whatever depth it lies at.

    A task group lists its errors as they came and cancels the rest at the first, so that any
    others are consequences of it.
    """
    try:
        yield
    except ExceptionGroup as group:
        first: Exception = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from first.__cause__
