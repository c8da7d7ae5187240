"""The reference of the API: made of its routes and their shapes, as `/openapi.json` is.

Every route has an example for `curl`, which a test types: names in it are made of the parameters
that the route demands.
"""

import json
from collections.abc import Iterator, Mapping
from typing import get_args
from urllib.parse import urlencode

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from daemon.answers.policy import PolicySettings
from daemon.api.faults import STATUS
from daemon.api.openapi import Document
from daemon.api.route import Route
from daemon.api.routes import ROUTES
from daemon.commands import PolicyChange, Request
from daemon.config import PolicyConfig
from events.facts import CacheSettings
from tests.docs.events import fields_table
from tests.docs.markdown import MADE, anchor, block, table
from tests.docs.vocabulary import COMMON
from tests.docs.words import below, first_sentence, paragraph, structs_in

CURL = "curl -sS --fail-with-body"
SOCKET = "/run/valkeep/valkeep.sock"
NAMES: Mapping[str, object] = {
    "backup": "shop/nightly",
    "cache": "shop",
    "name": "by-curl",
    "to": "shop",
    "url": "valkey://127.0.0.1:6379",
    "second": "shop/by-curl",
    "source": "warehouse/shop.rdb",
    "destination": "warehouse",
    "policy": {"retention_days": 14},
    "comparison": "20261123T034546Z-5f0c61aa",
}
"""What an example calls things; of what is not here the reader has to have one."""
_POLICIES = (PolicyChange, PolicySettings)
SHOWN = "request-backup"
"""The command whose body stands for all."""
NOT_RUN: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/recovery"): "it takes a vault over; docs/recover.md",
}
"""Examples that no test may type, and why."""
WITH_IDS = ("exports", "restores", "comparisons")
"""Of these the test that types the examples has one each."""

INTRO = f"""\
# The API

HTTP/1.1 with JSON on the daemon's Unix socket: what the command line uses, and `curl` can. Who is
at the other end is read from the connection, so there is no password and no token; the role that
[`[roles]`](configuration.md#roles) gives decides. The name of the host in the URL does not matter.
`GET /openapi.json` describes all of it for programs; this page is made of the same routes.

Instants are ISO 8601 in UTC, sizes are bytes, ids are texts; a field that holds its default may be
left out of an answer, and unknown fields are to be ignored. A BACKUP in a path is an id, a unique
beginning of one, or `CACHE/NAME`.

`POST /v1/commands` takes an `Idempotency-Key` header (1 to 200 characters): the same key with the
same body gives the first answer again, with another body it is refused. A hook that asks for a
backup or a restore says so with `Valkeep-Hook: NAME ID`, its own name and what it is run for
([hooks.md](hooks.md#a-hook-that-calls-valkeep)).

The examples are for a cache `shop` with a backup `shop/nightly`, and the socket of the service,
`{SOCKET}`.

## Errors

Every answer but 200 is `{{"error": {{"code": …, "message": …, "hint": …}}}}`: a stable code, what
failed, and what to do. A stream that cannot go on ends with such a line.
"""


TELLS = """\
With `progress=true` the answer is NDJSON: a line `{"progress": …}` twice a second, with what is
being done and how many of how many are done where that can be counted, and `{"answer": …}` last."""


def page() -> str:
    """The whole page."""
    parts = [*MADE, INTRO, *_errors(), *_contents(), *_routes(), *_commands(), *_shapes()]
    return "\n".join(parts).rstrip() + "\n"


def _errors() -> Iterator[str]:
    rows = [
        [str(code), first_sentence(kind).partition(": HTTP")[0]] for kind, code in STATUS.items()
    ]
    yield from table(["HTTP", "when"], rows)
    yield (
        "A 503 with the code `stopping` or `starting` tells of a daemon that goes, or still reads "
        "its log: `Retry-After` says after how many seconds the next one may answer. What was "
        "asked for is in the log, and goes on or is recorded as interrupted."
    )
    yield ""
    yield "404 and 405 also tell of a path or method that there is not, 413 of a body above 64 KiB."
    yield ""


def _contents() -> Iterator[str]:
    yield from ("## All routes", "")
    rows = (
        [
            f"[`{_title(one)}`](#{anchor(_title(one))})",
            "as below" if one.rights else one.role,
            one.summary,
        ]
        for one in ROUTES
    )
    yield from table(["route", "role", "what"], rows)


def _role(route: Route) -> str:
    return route.rights or f"Role: {route.role}."


def _title(route: Route) -> str:
    return f"{route.method} {route.path}"


def _routes() -> Iterator[str]:
    for route in ROUTES:
        yield from (f"### {_title(route)}", "", f"{route.summary}. {_role(route)}", "")
        if fields(route.query):
            yield from ("Parameters of the query:", "")
            yield from fields_table(route.query)
        if route.tells:
            yield from (TELLS, "")
        if route.body is not None:
            yield from (f"Body: {_body(route)}.", "")
        if route.takes is not None:
            yield from ("Body: the bytes of the RDB, of any length.", "")
        yield from (f"Answer: {_answer(route)}.", "")
        yield from block("console", *example(route), not_run=_not_run(route))


def _body(route: Route) -> str:
    if route.body == Request:
        return "one of the [commands](#commands), a JSON object whose `type` is its tag"
    return _links(route.body)


def _answer(route: Route) -> str:
    if route.says is Document:
        return "an OpenAPI 3.1 document"
    if route.text is not None:
        return "text"
    if route.body_of is not None:
        return "the bytes"
    return f"lines of JSON, each {_links(route.says)}" if route.lines else _links(route.says)


def _links(hint: object) -> str:
    return " or ".join(f"[{one.__name__}](#{anchor(one.__name__)})" for one in structs_in(hint))


def example(route: Route) -> tuple[str, ...]:
    """The words of a request, one line each."""
    path = route.path.replace("{name}", "shop").replace("{ref}", "shop/nightly")
    path = path.replace("{id}", str(NAMES["comparison"]))
    demanded = {one.name: _called(one.name) for one in _required(route.query)}
    query = f"?{urlencode(demanded)}" if demanded else ""
    url = f"http://valkeep{path}{query}"
    words = [f"{CURL} --unix-socket {SOCKET}", *_sent(route), f"'{url}'" if query else url]
    if not any(word.startswith("-d") for word in words):
        return (f"$ {' '.join(words[:-1])} \\", f"    {words[-1]}")
    return (f"$ {words[0]} \\", *(f"    {word} \\" for word in words[1:-1]), f"    {words[-1]}")


def _not_run(route: Route) -> str:
    """Why no test types an example, or nothing."""
    if "{id}" in route.path and route.path.split("/")[2] not in WITH_IDS:
        return "it needs an id of its own"
    demanded = [*_required(route.query), *(_required(_shown(route.body)) if route.body else ())]
    if unknown := [one.name for one in demanded if one.name not in NAMES]:
        return f"it needs a {unknown[0]} of its own"
    return NOT_RUN.get((route.method, route.path), "")


def _called(name: str) -> object:
    return NAMES.get(name, name.upper())


def _sent(route: Route) -> Iterator[str]:
    if route.body is not None:
        yield f"-d '{json.dumps(_sample(route.body))}'"
    if route.takes is not None:
        yield "--data-binary @dump.rdb"
    if route.body_of is not None:
        yield "-o dump.rdb"


def _sample(body: object) -> dict[str, object]:
    """The least that such a body must hold."""
    shape = _shown(body)
    found: dict[str, object] = {"type": _tag(shape)} if _tag(shape) else {}
    found |= {one.name: _called(one.name) for one in _required(shape)}
    return found or {"retention_days": 14}


def _shown(body: object) -> type[Struct]:
    """The shape of an example's body."""
    shapes = list(structs_in(body))
    return next((one for one in shapes if _tag(one) == SHOWN), shapes[0])


def _required(shape: type[Struct]) -> Iterator[FieldInfo]:
    for field in fields(shape):
        if field.default is NODEFAULT and field.default_factory is NODEFAULT:
            yield field


def _tag(shape: type[Struct]) -> str:
    return str(shape.__struct_config__.tag or "")


def _commands() -> Iterator[str]:
    yield from ("## Commands", "", "The bodies of `POST /v1/commands`, by their `type`.", "")
    for shape in get_args(Request):
        yield from (f"### {_tag(shape)}", "", paragraph(shape), "")
        yield from fields_table(shape, {**COMMON, **_settings("caches.NAME", CacheSettings)})
        yield from block("json", json.dumps(_sample(shape)))


def _shapes() -> Iterator[str]:
    yield from ("## Shapes", "")
    for shape in all_shapes():
        yield from (f"### {shape.__name__}", "", paragraph(shape), "")
        settings = _settings("caches.NAME.policy", PolicyConfig) if shape in _POLICIES else {}
        yield from fields_table(shape, {**COMMON, **settings})


def _settings(section: str, shape: type[Struct]) -> dict[str, str]:
    """Where the settings of a section are told of."""
    link = f"The setting of [`[{section}]`](configuration.md#{anchor(f'[{section}]')})."
    return dict.fromkeys(shape.__struct_fields__, link)


def all_shapes() -> tuple[type[Struct], ...]:
    """Whatever a body or an answer holds, but for the commands themselves."""
    roots = {
        one.__name__: one
        for route in ROUTES
        for one in (*structs_in(route.says), *structs_in(route.body))
        if one is not Document and one not in get_args(Request)
    }
    all_of_them = roots | {
        one.__name__: one for one in below([*roots.values(), *get_args(Request)])
    }
    return tuple(all_of_them[name] for name in sorted(all_of_them))
