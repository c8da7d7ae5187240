"""Text on as many lines as it takes; what stands in backticks is typed, and so never cut. Pure."""

import re
import textwrap

_TYPED = re.compile(r"`[^`]+`")
_GLUE = "\u2060"


def wrapped(text: str, width: int, *, first: str = "", then: str = "") -> list[str]:
    """Lines of at most that width, where words allow; `first` and `then` stand before them."""
    glued = _TYPED.sub(lambda found: found[0].replace(" ", _GLUE), text)
    lines = textwrap.wrap(
        glued,
        width,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in lines]
