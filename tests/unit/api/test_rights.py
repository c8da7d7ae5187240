"""Who may do what: every route and every command, for every role, against what is written of it."""

import os
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from anyio import to_thread

from daemon.answers import Role
from daemon.api import Access, Roles, access_for
from daemon.api.openapi import document
from daemon.api.rights import MAY, ROLES, roles_of_commands, tag_of
from daemon.api.route import Route
from daemon.api.routes import ROUTES
from daemon.client import Client
from daemon.commands import Request, RequestComparison
from daemon.errors import Forbidden, ValkeepError
from tests.support.api import Served, serving
from tests.support.samples import registered

pytestmark = pytest.mark.anyio

SECURITY = Path(__file__).parents[3] / "docs" / "security.md"
HOLDERS = Roles(admin=("user:root",), operator=("user:daemon",), viewer=("user:nobody",))
TELL = "POST /v1/commands"
COMMANDS = next(route for route in ROUTES if route.path == "/v1/commands")


def as_a(role: Role) -> Access:
    """The test itself, in a role; others are named for the others."""
    named = access_for(HOLDERS, own_uid=4711)
    return Access(users={os.geteuid(): role}, groups={}, holders=named.holders)


async def refusal(api: Served, request: str, body: bytes = b"{}") -> Forbidden | None:
    """How a request is refused for its role; None when something else comes of it."""
    method, _, path = request.partition(" ")
    client = Client(str(api.path), patience_seconds=10)
    try:
        await to_thread.run_sync(
            lambda: client.get(path) if method == "GET" else client.post(path, body)
        )
    except Forbidden as error:
        return error
    except (ValkeepError, OSError):
        return None
    return None


def place(route: Route) -> str:
    """A path of this route."""
    return re.sub(r"{\w+}", "x", route.path.replace("{ref}", "orders/x"))


def sample(kind: type[Request]) -> bytes:
    """A command of a kind as it is sent, with no more in it than it must have."""
    needed = {
        field.encode_name: {} if field.name == "policy" else "x"
        for field in msgspec.structs.fields(kind)
        if field.required
    }
    return msgspec.json.encode({"type": tag_of(kind), **needed})


@pytest.mark.parametrize("role", ROLES)
async def test_every_route_takes_the_role_that_it_says(role: Role) -> None:
    """Who has less than a route's role is refused, naming it; who has it never is for that."""
    async with serving(registered(), access=as_a(role)) as api:
        for route in ROUTES:
            if route is COMMANDS:
                continue
            refused = await refusal(api, f"{route.method} {place(route)}")
            assert (refused is not None) == (ROLES.index(role) < ROLES.index(route.role)), route
            if refused is not None:
                assert f"{route.method} {route.path} needs the role {route.role}" in str(refused)


@pytest.mark.parametrize("role", ROLES)
async def test_every_command_takes_the_role_that_it_says(role: Role) -> None:
    """A refused command names the role that it takes itself, which may be more than another's."""
    wanted = roles_of_commands()
    async with serving(registered(), access=as_a(role)) as api:
        for kind in get_args(Request):
            takes = wanted[tag_of(kind)]
            refused = await refusal(api, TELL, sample(kind))
            assert (refused is not None) == (ROLES.index(role) < ROLES.index(takes)), kind
            if refused is not None:
                told = f"The command {tag_of(kind)} needs the role {takes}, and you are {role}."
                assert refused.message == told


async def test_a_refusal_says_who_may() -> None:
    """A viewer hears who has the role or more, by the file's own words, and where to be added."""
    restoring = b'{"type":"request-restore","backup":"orders/a","to":"orders"}'
    making = b'{"type":"request-backup","cache":"orders","name":"a"}'
    async with serving(registered(), access=as_a("viewer")) as api:
        restore = await refusal(api, TELL, restoring)
        backup = await refusal(api, TELL, making)

    assert restore is not None
    assert backup is not None
    assert "Those who may: root, the daemon's own user, user:root." in restore.hint
    assert "Those who may: root, the daemon's own user, user:daemon, user:root." in backup.hint
    assert "under [roles]" in restore.hint


async def test_names_of_keys_are_an_admins() -> None:
    """A comparison is an operator's, one that keeps names an admin's."""
    plain = RequestComparison("orders/a", "orders/b")
    named = msgspec.structs.replace(plain, names=5)
    async with serving(registered(), access=as_a("operator")) as api:
        assert await refusal(api, TELL, msgspec.json.encode(plain)) is None
        refused = await refusal(api, TELL, msgspec.json.encode(named))

    assert refused is not None
    assert "needs the role admin" in refused.message


def test_what_is_written_of_roles_is_what_holds() -> None:
    """The description tells the role of each route and command; the page has the same words."""
    paths = msgspec.to_builtins(document(ROUTES, "1").paths)
    page = SECURITY.read_text(encoding="utf-8")

    for route in ROUTES:
        told = paths[route.path][route.method.lower()]["description"]
        assert told == (route.rights or f"Needs the role {route.role}.")
    assert all(tag in COMMANDS.rights for tag in roles_of_commands())
    assert [route.path for route in ROUTES if route.rights] == ["/v1/commands"]
    for role, words in MAY.items():
        assert f"| {role} | {words} |" in page
