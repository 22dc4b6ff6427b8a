"""The OpenAPI 3.1 document, derived from the routes: nothing is described twice."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import problems
from app.problems import MEDIA_TYPE, Problem, ProblemType
from metering.io.route import Bound, Nothing, Policy, Route

TITLE: Final = "Aqkol"
_REF: Final = "#/components/schemas/{model}"

_ABOUT: Final = (
    "Bills a town's gas and takes the money safely. Volumes are whole cubic decimetres (litres), "
    "money whole minor units (tiyn) beside its currency, instants RFC 3339 with an offset. Lists "
    "are paged: pass `next` of one page as `after` of the following one. A thing of somebody else "
    "answers exactly as a thing that does not exist."
)
_WHO: Final[Mapping[Policy, str]] = {
    Policy.PUBLIC: "Anybody may call it.",
    Policy.RESIDENT: "Only the resident of this account may call it.",
    Policy.ACCOUNT: "The resident of this account or an operator may call it.",
    Policy.OPERATOR: "Only an operator may call it.",
    Policy.SIGNED: "Only whoever shares a secret with us may call it, and signs the body with it.",
}

_WITH_TOKEN: Final = frozenset({Policy.RESIDENT, Policy.ACCOUNT, Policy.OPERATOR})

# Keyed by model and mode; pydantic types the key by a name it keeps private.
Schemas = Mapping[Any, dict[str, Any]]


def document(
    routes: Sequence[Bound], errors: Mapping[type[Exception], ProblemType], version: str
) -> dict[str, Any]:
    """Build the document of all shown routes.

    ``errors`` is the shell's table from an error of the business to its problem.
    """
    shown = [bound.route for bound in routes if bound.route.shown]
    schemas, definitions = models_json_schema(list(_models(shown)), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        operation = _operation(route, schemas, definitions["$defs"], errors)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in shown)],
        "paths": paths,
        "components": {
            "schemas": _used(definitions["$defs"], paths),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of a resident or an operator; it begins with `aq_`.",
                }
            },
        },
    }


def _models(
    routes: Iterable[Route],
) -> Iterable[tuple[type[BaseModel], Literal["validation", "serialization"]]]:
    seen: dict[tuple[type[BaseModel], Literal["validation", "serialization"]], None] = {}
    for route in routes:
        for model in (route.path_model, route.query_model, route.body_model):
            if model is not Nothing:
                seen[model, "validation"] = None
        if route.answer_model is not None:
            seen[route.answer_model, "serialization"] = None
    seen[Problem, "serialization"] = None
    return seen


def _operation(
    route: Route,
    schemas: Schemas,
    definitions: Mapping[str, Any],
    errors: Mapping[type[Exception], ProblemType],
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"{route.description}\n\n{_WHO[route.policy]}",
        "tags": [route.tag],
        "security": [{"token": []}] if route.policy in _WITH_TOKEN else [],
        "x-aqkol-policy": route.policy.value,
        "parameters": [
            *_parameters(route.path_model, "path", schemas, definitions),
            *_parameters(route.query_model, "query", schemas, definitions),
            *_signature(route),
        ],
        "responses": _responses(route, schemas, errors),
    }
    if route.takes_body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[route.body_model, "validation"]}},
        }
    if route.files is not None:
        operation["requestBody"] = {
            "required": True,
            "description": f"A file of at most {route.files.bytes_max} bytes, not compressed",
            "content": {
                media_type: {"schema": {"type": "string"}} for media_type in route.files.media_types
            },
        }
    if route.signature is not None:
        operation["requestBody"] = {
            "required": True,
            "description": "What was signed, byte for byte",
            # Nobody looks into it before the signature was found right.
            "content": {"application/json": {"schema": {}}},
        }
    return operation


def _signature(route: Route) -> Iterable[dict[str, Any]]:
    if route.signature is not None:
        yield {
            "name": route.signature,
            "in": "header",
            # A body without one is answered like one with a wrong one.
            "required": False,
            "description": "HMAC-SHA256 of the body under the secret, in hexadecimal digits",
            "schema": {"type": "string"},
        }


def _parameters(
    model: type[BaseModel],
    place: Literal["path", "query"],
    schemas: Schemas,
    definitions: Mapping[str, Any],
) -> Iterable[dict[str, Any]]:
    if model is Nothing:
        return
    name = schemas[model, "validation"]["$ref"].rsplit("/", 1)[-1]
    schema = definitions[name]
    for field, described in schema.get("properties", {}).items():
        parameter = {
            "name": field,
            "in": place,
            "required": place == "path" or field in schema.get("required", ()),
            "schema": _without_null(described),
        }
        if "description" in described:
            parameter["description"] = described["description"]
        yield parameter


def _without_null(described: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not there; it is never null."""
    schema = copy.deepcopy(described)
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema |= choices[0]
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema


def kinds_of(route: Route, errors: Mapping[type[Exception], ProblemType]) -> list[ProblemType]:
    """List the problems that a route may answer with."""
    kinds = [problems.OURS, problems.REFUSED]
    if route.policy in _WITH_TOKEN:
        kinds += [problems.NO_TOKEN, problems.FORBIDDEN]
    if route.policy is not Policy.PUBLIC:
        kinds.append(problems.UNAVAILABLE)
    if route.path_model is not Nothing:
        kinds.append(problems.NOT_FOUND)
    # Every route refuses query parameters that it does not know.
    kinds.append(problems.INVALID)
    if route.takes_body or route.signature is not None:
        kinds += [problems.BODY_SLOW, problems.BODY_TOO_LARGE, problems.NOT_JSON]
    if route.takes_body:
        kinds.append(problems.BROKEN_JSON)
    if route.files is not None:
        kinds += [problems.BODY_SLOW, problems.FILE_TOO_LARGE, problems.FILE_KIND]
    kinds += [errors[error] for error in route.raises]
    return list(dict.fromkeys(kinds))


def _responses(
    route: Route, schemas: Schemas, errors: Mapping[type[Exception], ProblemType]
) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {} for kind in route.media_type.split(", ")}
    if route.answer_model is not None:
        content = {route.media_type: {"schema": schemas[route.answer_model, "serialization"]}}
    responses: dict[str, Any] = {str(route.status): {"description": "Done", "content": content}}
    if route.repeat_status is not None:
        responses[str(route.repeat_status)] = {
            "description": "It was there before, exactly so",
            "content": content,
        }
    for kind in sorted(kinds_of(route, errors), key=lambda kind: (kind.status, kind.slug)):
        told = responses.setdefault(
            str(kind.status),
            {
                "description": "",
                "content": {
                    MEDIA_TYPE: {"schema": schemas[Problem, "serialization"]},
                },
            },
        )
        line = f"`{kind.slug}`: {kind.title}"
        told["description"] = f"{told['description']}\n\n{line}".strip()
    return responses


def _used(definitions: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the schemas that something refers to; parameters are written out where they stand."""
    kept: dict[str, Any] = {}
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    return dict(sorted(kept.items()))


def _references(node: object) -> Iterable[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rsplit("/", 1)[-1]
            else:
                yield from _references(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from _references(value)
