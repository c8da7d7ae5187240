"""What the source says of its own shapes: a field's words, its type as text, its default.

Words stand in the source and nowhere else: below a field as a text of its own, in a sentence of
the class's docstring that names the field in backticks, or at the field's type. Nothing here
knows a shape by name.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Literal, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import fields

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"])")
_NAMED = re.compile(r"`(\w+)`")
_RULES = re.compile(r" \((?:rule )?(?:DESIGN|[A-Z]\d+)[^)]*\)")
_PLAIN: Mapping[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    bytes: "bytes",
    datetime: "instant",
    date: "day",
    timedelta: "span",
    object: "anything",
    Raw: "JSON",
}


class Field(Struct, frozen=True):
    """One field of a shape as a reader wants to know it; no `words` means that none are written."""

    name: str
    kind: str
    default: str
    words: str
    shapes: tuple[type[Struct], ...]
    """The shapes that its type speaks of, for links."""


def told(shape: type[Struct]) -> tuple[Field, ...]:
    """All fields of a shape, in its order."""
    hints = get_type_hints(shape, include_extras=True)
    return tuple(
        Field(
            name=field.encode_name,
            kind=type_text(hints[field.name]),
            default=_default(field.default, factory=field.default_factory),
            words=_words(shape, field.name, hints[field.name]),
            shapes=tuple(structs_in(hints[field.name])),
        )
        for field in fields(shape)
    )


def summary(shape: type) -> str:
    """A shape's docstring as one paragraph of Markdown, without the numbers of rules."""
    text = " ".join(inspect.cleandoc(shape.__doc__ or "").split())
    return _RULES.sub("", text.replace("``", "`"))


def paragraph(shape: type[Struct]) -> str:
    """What is said of the shape itself: its first sentence, and those that name no field."""
    first, *rest = _SENTENCE.split(summary(shape))
    names = {field.name for field in fields(shape)}
    return " ".join([first, *(one for one in rest if not names & set(_NAMED.findall(one)))])


def first_sentence(shape: type) -> str:
    """What the shape is."""
    return _SENTENCE.split(summary(shape))[0]


def type_text(hint: object) -> str:
    """A type in words that need no Python."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_text(inner[0]) + "".join(_limits(one) for one in inner[1:])
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        shown = [type_text(one) for one in inner if one not in (NoneType, UnsetType)]
        return " or ".join(shown)
    if origin is not None and issubclass(origin, Mapping):
        return f"map of {type_text(inner[0])} to {type_text(inner[1])}"
    if origin is not None and issubclass(origin, Iterable):
        return f"list of {type_text(inner[0])}"
    if isinstance(hint, NewType):
        return type_text(hint.__supertype__)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _PLAIN.get(hint, getattr(hint, "__name__", str(hint)))


def structs_in(hint: object) -> Iterator[type[Struct]]:
    """Every shape that a type speaks of."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for inner in get_args(hint):
        yield from structs_in(inner)


def below(shapes: Iterable[type[Struct]]) -> tuple[type[Struct], ...]:
    """All shapes that are parts of these, and parts of those, in the order of their names."""
    found: dict[str, type[Struct]] = {}
    waiting = [one for shape in shapes for field in told(shape) for one in field.shapes]
    while waiting:
        shape = waiting.pop()
        if shape.__name__ not in found:
            found[shape.__name__] = shape
            waiting += [one for field in told(shape) for one in field.shapes]
    return tuple(found[name] for name in sorted(found))


def _limits(meta: object) -> str:
    if not isinstance(meta, Meta):
        return ""
    low, high = meta.ge, meta.le
    if low is None and high is None:
        return ""
    return f", {low:g} to {high:g}" if low is not None and high is not None else f", from {low:g}"


def _default(default: object, *, factory: object) -> str:
    if default is UNSET:
        return "left out"
    if default is not NODEFAULT:
        return "–" if default is None else f"`{msgspec.json.encode(default).decode()}`"
    if factory is not NODEFAULT:
        made = factory() if callable(factory) else None
        return f"`{msgspec.json.encode(made).decode()}`"
    return "required"


def _words(shape: type[Struct], name: str, hint: object) -> str:
    """From the nearest place that says anything."""
    line = [one for one in shape.__mro__ if one.__module__.split(".")[0] in _OURS]
    for owner in line:
        if text := _texts(owner.__module__, owner=owner.__name__).get(name):
            return _clean(text)
    for owner in line:
        sentences = _SENTENCE.split(" ".join(inspect.cleandoc(owner.__doc__ or "").split()))
        if naming := [one for one in sentences if re.search(rf"`{name}`", one)]:
            return _clean(" ".join(naming))
    return _of_type(hint)


_OURS = ("events", "projections", "daemon", "tests")


def _clean(text: str) -> str:
    plain = _RULES.sub("", " ".join(text.split()).replace("``", "`"))
    return plain.replace("|", "\\|")


def _of_type(hint: object) -> str:
    """What the type itself has to say: a name of its own with words, or a shape."""
    if isinstance(hint, NewType):
        return _clean(_texts(hint.__module__ or "", owner="").get(hint.__name__, ""))
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _clean(first_sentence(hint))
    return next((text for inner in get_args(hint) if (text := _of_type(inner))), "")


@cache
def _texts(module: str, *, owner: str) -> Mapping[str, str]:
    """The texts that stand below the names of a module, or of a class in it."""
    found: ModuleType | None = sys.modules.get(module)
    if found is None:
        return {}
    body: list[ast.stmt] = ast.parse(inspect.getsource(found)).body
    if owner:
        classes = (one for one in body if isinstance(one, ast.ClassDef) and one.name == owner)
        body = next((one.body for one in classes), [])
    texts: dict[str, str] = {}
    for before, after in pairwise(body):
        name = _name(before)
        if name and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            texts[name] = inspect.cleandoc(str(after.value.value))
    return texts


def _name(statement: ast.stmt) -> str:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return ""
