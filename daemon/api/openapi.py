"""The OpenAPI 3.1 document, generated from the routes and their types alone."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from daemon.answers import Answer, ErrorAnswer
from daemon.api.route import Route
from daemon.api.telling import PROGRESS
from daemon.commands import Request

Json = dict[str, object]
_REFERENCES = "#/components/schemas/{name}"


class Document(Answer, frozen=True):
    """An OpenAPI document."""

    openapi: str
    info: Json
    paths: Json
    components: Json


def document(routes: Sequence[Route], version: str) -> Document:
    """The description of every route."""
    shapes = [route.says for route in routes if route.says is not Document]
    shapes += [ErrorAnswer, Request, *(route.body for route in routes if route.body is not None)]
    named, components = _schemas(shapes)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, named)
    return Document(
        openapi="3.1.0",
        info={
            "title": "Valkeep",
            "version": version,
            "description": "HTTP on a Unix socket; the peer's credentials decide who may do what.",
        },
        paths=dict(paths),
        components={"schemas": components},
    )


def _schemas(shapes: list[object]) -> tuple[dict[int, Json], Json]:
    """Each shape's own schema by the shape's identity, and the components they refer to."""
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REFERENCES)
    named = {id(shape): schema for shape, schema in zip(shapes, schemas, strict=True)}
    return named, dict(components)


def _operation(route: Route, named: Mapping[int, Json]) -> Json:
    operation: Json = {
        "summary": route.summary,
        "description": route.rights or f"Needs the role {route.role}.",
        "operationId": _operation_id(route),
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {
            "200": {
                "description": "One line for each." if route.lines else "Done, or accepted.",
                "content": _content(named.get(id(route.says), {"type": "object"}), route),
            },
            "default": {
                "description": "Refused or failed: 400, 403, 404, 409, 413, 500 or 503.",
                "content": {"application/json": {"schema": named[id(ErrorAnswer)]}},
            },
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": named[id(route.body)]}},
        }
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return operation


def _content(schema: Json, route: Route) -> Json:
    if route.body_of:
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if route.text:
        return {"text/plain": {"schema": {"type": "string"}}}
    return {"application/x-ndjson" if route.lines else "application/json": {"schema": schema}}


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z]+", route.path)
    return "-".join([route.method.lower(), *(word for word in words if word != "v")])


def _path_parameters(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(route: Route) -> list[Json]:
    _, components = msgspec.json.schema_components([route.query])
    shape = cast("Json", components[route.query.__name__])
    properties = cast("dict[str, Json]", shape["properties"])
    parameters: list[Json] = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]
    if route.tells:
        parameters.append(
            {
                "name": PROGRESS,
                "in": "query",
                "required": False,
                "schema": {"type": "boolean", "default": False},
                "description": "Answer with NDJSON: lines with `progress`, the last with `answer`.",
            }
        )
    if route.path == "/v1/commands":
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
                "description": "The same key with the same body gives the first answer again.",
            }
        )
    return parameters
