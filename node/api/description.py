"""The OpenAPI description, completed: every error is a problem, under its own media type.

FastAPI describes its own validation errors, which never leave this house: `node.api.problems` answers instead.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from node.api.problems import MEDIA_TYPE, TYPE_BASE, Problem

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "400": {
        "type": TYPE_BASE + "bad-request",
        "title": "Bad request",
        "status": 400,
        "detail": "start: '2026-04-16' has no zone: add Z or an offset such as +02:00",
    },
    "403": {
        "type": TYPE_BASE + "wrong-epoch",
        "title": "Order refused",
        "status": 403,
        "detail": "epoch 1: the agent's key has epoch 2",
    },
    "404": {
        "type": TYPE_BASE + "not-found",
        "title": "Not found",
        "status": 404,
        "detail": "no account 99",
    },
    "409": {
        "type": TYPE_BASE + "gate-closed",
        "title": "Order refused",
        "status": 409,
        "detail": "interval 1973760 closed at 1776383700 s, it is 1776384000 s (unix time)",
    },
    "422": {
        "type": TYPE_BASE + "invalid",
        "title": "The request is not valid",
        "status": 422,
        "detail": "/query/limit: Input should be less than or equal to 1000",
        "errors": [{"pointer": "/query/limit", "detail": "Input should be less than or equal to 1000"}],
    },
    "503": {
        "type": TYPE_BASE + "busy",
        "title": "Try again",
        "status": 503,
        "detail": "store sqlite:///store.sqlite: another process is writing",
    },
}


def install(app: FastAPI) -> None:
    """Make the application describe its errors as it answers them."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    license_info=app.license_info,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            for status, response in responses.items():
                if int(status) >= 400:
                    response["content"] = {MEDIA_TYPE: _content(status)}
                    if status == "422" and response["description"] == "Validation Error":
                        response["description"] = "a parameter or field is not valid; `errors` says which"
            responses["default"] = {
                "description": "any other error: a problem (RFC 9457)",
                "content": {MEDIA_TYPE: _content("503")},
            }
    return document


def _content(status: str) -> dict[str, Any]:
    return {"schema": _PROBLEM, "example": _EXAMPLES[status]}
