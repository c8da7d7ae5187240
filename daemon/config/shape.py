"""Whether a value has the type that its setting wants, and both in words for a person.

Knows the types that settings have, and no setting. A text is shown only where the setting
takes one of a few words, a number where it takes one: anywhere else it may be a secret.
"""

from collections.abc import Mapping

import msgspec
from msgspec import inspect

from daemon.config.problem import Wrong, near_miss

_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "a text",
    list: "a list",
    dict: "a section",
}


def misfit(value: object, *, shape: object) -> Wrong | None:
    """What is wrong with a value of TOML for a setting of that type, or None."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        wanted = _said(inspect.type_info(shape))
        return Wrong(_found(value, wanted), f"{_near(value, wanted)}Allowed: {_wanted(wanted)}.")
    return None


def _said(wanted: inspect.Type) -> inspect.Type:
    """What may be said: nobody can say "nothing" in TOML, which is what is optional."""
    if not isinstance(wanted, inspect.UnionType):
        return wanted
    return next(one for one in wanted.types if not isinstance(one, inspect.NoneType))


def _found(value: object, wanted: inspect.Type) -> str:
    is_word = isinstance(value, str) and isinstance(wanted, inspect.LiteralType)
    is_number = type(value) in {int, float} and isinstance(
        wanted, inspect.IntType | inspect.FloatType
    )
    if is_word or is_number:
        return f"is {_quoted(value)}"
    if isinstance(value, list) and isinstance(wanted, inspect.VarTupleType):
        return "is a list with something else in it"
    return f"is {_KINDS.get(type(value), 'a date or a time')}"


def _near(value: object, wanted: inspect.Type) -> str:
    if isinstance(value, str) and isinstance(wanted, inspect.LiteralType):
        return near_miss(value, [str(word) for word in wanted.values])
    return ""


def _wanted(wanted: inspect.Type) -> str:
    match wanted:
        case inspect.LiteralType(values):
            return ", ".join(_quoted(value) for value in values)
        case inspect.IntType(ge=low, le=high) | inspect.FloatType(ge=low, le=high):
            kind = "a whole number" if isinstance(wanted, inspect.IntType) else "a number"
            return f"{kind} from {low:g} to {high:g}"
        case inspect.VarTupleType(item_type=inspect.LiteralType(values)):
            return f"a list of these: {', '.join(_quoted(value) for value in values)}"
        case inspect.VarTupleType():
            return "a list of texts"
        case inspect.BoolType():
            return "true or false"
        case _:
            return "a text"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value}"
