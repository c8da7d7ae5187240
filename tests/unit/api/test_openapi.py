"""The description of the API against the API itself, and against the standard."""

import re

import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import validate

from daemon.api.application import application
from daemon.api.openapi import document
from daemon.api.routes import ROUTES
from tests.support.api import serving

pytestmark = pytest.mark.anyio


def described() -> dict[str, dict[str, dict[str, object]]]:
    """The paths of the description, as a reader of the JSON sees them."""
    whole = msgspec.json.decode(msgspec.json.encode(document(ROUTES, "1")))
    paths: dict[str, dict[str, dict[str, object]]] = whole["paths"]
    return paths


async def test_every_route_is_described() -> None:
    """Whatever the router takes is in the description, and nothing else is."""
    async with serving() as api:
        app = application(api.outside, {}, body_seconds=1)
        routed = {
            (route.method, re.sub(r":[^}]*}", "}", _path(route)))
            for route in app.router.routes()
            if route.method != "HEAD"
        }

    told = {(method.upper(), path) for path, verbs in described().items() for method in verbs}
    assert routed == told


def _path(route: web.AbstractRoute) -> str:
    info = route.resource.get_info() if route.resource else {}
    return str(info.get("path") or info.get("formatter"))


async def test_the_description_is_valid() -> None:
    """What the daemon answers at /openapi.json is a valid OpenAPI 3.1 document."""
    async with serving() as api:
        answer = await api.get(dict[str, object], "/openapi.json")

    assert "3.1.0" == answer["openapi"]
    validate(answer)


def test_every_command_is_described() -> None:
    """The body of a command lists every command there is, by its tag."""
    whole = msgspec.json.encode(document(ROUTES, "1")).decode()

    for tag in (
        "add-cache",
        "set-cache",
        "remove-cache",
        "request-backup",
        "delete-backup",
        "request-restore",
    ):
        assert f'"{tag}"' in whole


def test_parameters_and_roles_are_described() -> None:
    """Parameters stand with their route, and the role that it needs."""
    events = described()["/v1/events"]["get"]

    parameters = events["parameters"]
    assert isinstance(parameters, list)
    assert {"after", "last", "cache", "follow"} == {one["name"] for one in parameters}
    assert "viewer" in str(events["description"])
