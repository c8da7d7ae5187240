"""From the text of a configuration file to a `Config`, or to all that is wrong with it.

Pure: the file is read elsewhere, and nothing outside the text is looked at. Goes on after
each problem, so that one look at the file is enough to correct it.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from daemon.config.lines import Place, locate
from daemon.config.notify import ChannelConfig
from daemon.config.prices import unquoted
from daemon.config.problem import ConfigError, Problem, Wrong, near_miss
from daemon.config.rules import LATER
from daemon.config.settings import Config, ExportConfig, HookConfig, PolicyConfig, VaultConfig
from daemon.config.shape import misfit
from daemon.config.texts import TEXTS
from daemon.config.together import Found, Table, contradictions, sections, with_vaults
from events.facts import CacheName, CacheSettings, Policy
from projections.policy import parsed_windows

_SECTIONS: Mapping[str, type[Struct]] = {
    field.name: field.type for field in fields(Config) if field.name != "policies"
}
_NAMED: Mapping[str, type[Struct]] = {
    "vaults": VaultConfig,
    "caches": CacheSettings,
    "exports": ExportConfig,
    "hooks": HookConfig,
    "channels": ChannelConfig,
}
_BELOW: Mapping[type[Struct], Mapping[str, type[Struct]]] = {
    CacheSettings: {"policy": PolicyConfig}
}
"""Sections inside a section."""
_OF_POLICY = frozenset(PolicyConfig.__struct_fields__)
_FILLED_IN = frozenset({"vault"})  # required, but with one vault it has a default
_SECRET = re.compile(
    r"(.*[_-])?(pass|passwd|password|passphrase|secret|token|credentials?|key|key[_-]id|auth)",
    re.IGNORECASE,
)
_TOLD_LINE = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")


def load(text: str, path: Path) -> Config:
    """The configuration that a file holds; raises `ConfigError` with every problem in it.

    The path is for messages only. No message shows a value that may be a secret.
    """
    try:
        document: Table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_syntax_problem(text, told=str(error))]) from None
    lines = locate(text)
    problems = [
        Problem(_told(place), wrong.wrong, wrong.allowed, line=lines.get(place))
        for place, wrong in _all_wrong(document)
    ]
    if problems:
        raise ConfigError(path, problems)
    policies = _policies(document)
    return msgspec.convert({**with_vaults(document), "policies": policies}, Config)


def _policies(document: Table) -> Mapping[CacheName, Policy]:
    """The policies of those caches that have one, from a document without a problem."""
    found = {}
    for name, cache in sections(document, "caches").items():
        if "policy" in cache:
            said = msgspec.convert(cache["policy"], PolicyConfig)
            given = {field: getattr(said, field) for field in _OF_POLICY}
            found[CacheName(name)] = Policy(**{**given, "windows": parsed_windows(said.windows)})
    return found


def _syntax_problem(text: str, *, told: str) -> Problem:
    found = _TOLD_LINE.search(told)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    wrong = _TOLD_LINE.sub("", told)
    return Problem("TOML", wrong, "Correct this first: the rest was not looked at.", line=line)


def _all_wrong(document: Table) -> Found:
    for name, value in document.items():
        place = (name,)
        if later := LATER.get(name):
            yield place, _not_yet(later)
        elif name not in _SECTIONS:
            yield place, _unknown(place, list(_SECTIONS))
        elif not isinstance(value, dict):
            yield place, Wrong("is not a section", f"Allowed: [{name}], settings below it.")
        elif name in _NAMED:
            yield from _named_sections(name, value)
        else:
            yield from _section(place, value, _SECTIONS[name])
    yield from contradictions(document)


def _named_sections(kind: str, named: Table) -> Found:
    for name, value in named.items():
        place = (kind, name)
        yield from _text_rule(place, name)
        if isinstance(value, dict):
            yield from _section(place, value, _NAMED[kind])
        else:
            yield (
                place,
                Wrong("is not a section", f"Allowed: [{kind}.NAME] with settings below it."),
            )


def _section(place: Place, table: Table, shape: type[Struct]) -> Found:
    known = {field.name: field for field in fields(shape)}
    below = _BELOW.get(shape, {})
    for name, value in table.items():
        own = (*place, name)
        if later := LATER.get(_pattern(own)):
            yield own, _not_yet(later)
        elif name in known:
            yield from _setting(own, value, shape=known[name].type)
        elif name not in below:
            yield own, _unknown(own, [*known, *below])
        elif isinstance(value, dict):
            yield from _section(own, value, below[name])
        else:
            yield own, Wrong("is not a section", f"Allowed: [{_told(own)}], settings below it.")
    for field in known.values():
        if field.required and field.name not in table.keys() | _FILLED_IN:
            yield place, Wrong(f"{field.name} is missing", "It has no default.")


def _setting(place: Place, value: object, *, shape: object) -> Found:
    wrong = misfit(value, shape=shape)
    if wrong is not None:
        yield place, unquoted(_pattern(place), value) or wrong
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _text_rule((*place, index), element)
    else:
        yield from _text_rule(place, value)


def _text_rule(place: Place, value: object) -> Found:
    rule = TEXTS.get(_pattern(place))
    if rule is not None and isinstance(value, str) and (wrong := rule(value)):
        yield place, wrong


def _not_yet(later: str) -> Wrong:
    return Wrong(f"{later} not there yet", "Take it out: a later version will have it.")


def _unknown(place: Place, known: list[str]) -> Wrong:
    """A name that is no setting: one of a later version, a secret, or a slip."""
    name = str(place[-1])
    if _SECRET.fullmatch(name) or (place[0] == "channels" and name == "url"):
        homes = ", ".join(own for own in known if own.endswith(("_file", "_env")))
        kept = f"Name where it is kept: {homes}." if homes else "Take it out."
        return Wrong("a secret does not belong in this file (it is not shown)", kept)
    if len(place) > 2 and "policy" in known and name in _OF_POLICY:
        return Wrong("there is no such setting", f"It belongs into [{_told(place[:2])}.policy].")
    kind = "section" if len(place) == 1 else "setting"
    return Wrong(
        f"there is no such {kind}", f"{near_miss(name, known)}Allowed: {', '.join(known)}."
    )


def _pattern(place: Place) -> str:
    """The place as the tables of rules name it: ``caches.*.url``; a list for its elements."""
    names = [part for part in place if isinstance(part, str)]
    if len(names) > 1 and names[0] in _NAMED:
        names[1] = "*"
    return ".".join(names)


def _told(place: Place) -> str:
    """The place as a person would write it: ``caches.orders.url``, ``roles.admin[1]``."""
    return "".join(_told_parts(place)).removeprefix(".")


def _told_parts(place: Place) -> Iterator[str]:
    for part in place:
        if isinstance(part, int):
            yield f"[{part}]"
        else:
            yield f".{part}" if part.isprintable() else f".{part!r}"
