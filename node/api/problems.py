"""Errors as RFC 9457 problems: one table says which error becomes which status.

The core knows no HTTP; whatever it raises is translated here and nowhere else.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from market.errors import OrderRefused, RefusalReason
from node.store.unit_of_work import StoreBusy, StoreError

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:symbiotic-grid:problem:"

# What the caller can do about it decides the status.
_ORDER_STATUS: dict[RefusalReason, int] = {
    RefusalReason.MALFORMED: 422,
    RefusalReason.UNKNOWN_ACCOUNT: 404,
    RefusalReason.BAD_SIGNATURE: 403,
    RefusalReason.WRONG_EPOCH: 403,
    RefusalReason.QUANTITY: 422,
    RefusalReason.LIMIT: 422,
    RefusalReason.LANE: 422,
    RefusalReason.VALIDITY: 422,
    RefusalReason.GATE_CLOSED: 409,
    RefusalReason.TOO_EARLY: 409,
    RefusalReason.DUPLICATE: 409,
    RefusalReason.LANE_CLOSED: 409,
    RefusalReason.TIMESLOT: 409,
    RefusalReason.MARGIN: 409,
    RefusalReason.CAPACITY: 409,
    RefusalReason.IN_DEBT: 409,
    RefusalReason.SUPERSEDED: 409,
    RefusalReason.WISH: 422,
}


class Problem(BaseModel):
    """An RFC 9457 problem."""

    type: str = Field(
        description="stable; ends with the kind of problem", examples=[TYPE_BASE + "gate-closed"]
    )
    title: str = Field(examples=["Order refused"])
    status: int = Field(description="the HTTP status", examples=[409])
    detail: str = Field(
        description="what was wrong, where, and what to do",
        examples=["interval 1973760 closed at 1776383700 s, it is 1776384000 s (unix time)"],
    )
    errors: list[dict[str, Any]] | None = Field(
        default=None,
        description="one entry per wrong field, with a JSON pointer",
        examples=[[{"pointer": "/body/lane", "detail": "Field required"}]],
    )


class NotFound(Exception):
    """What was asked for does not exist."""


class BadRequest(Exception):
    """A parameter that cannot be used as it is."""


def problem(status: int, kind: str, title: str, detail: str, **more: Any) -> JSONResponse:
    """Return a problem response."""
    body = {"type": TYPE_BASE + kind, "title": title, "status": status, "detail": detail} | more
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE)


def order_status(reason: RefusalReason) -> int:
    """Return the HTTP status of a refused order."""
    return _ORDER_STATUS[reason]


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(OrderRefused)
    def _order_refused(_request: Request, error: OrderRefused) -> JSONResponse:
        return problem(order_status(error.reason), error.reason, "Order refused", error.detail)

    @app.exception_handler(NotFound)
    def _not_found(_request: Request, error: NotFound) -> JSONResponse:
        return problem(404, "not-found", "Not found", str(error))

    @app.exception_handler(BadRequest)
    def _bad_request(_request: Request, error: BadRequest) -> JSONResponse:
        return problem(400, "bad-request", "Bad request", str(error))

    @app.exception_handler(StoreBusy)
    def _busy(_request: Request, error: StoreBusy) -> JSONResponse:
        response = problem(503, "busy", "Try again", str(error))
        response.headers["Retry-After"] = "1"
        return response

    @app.exception_handler(StoreError)
    def _store(_request: Request, error: StoreError) -> JSONResponse:
        return problem(500, "store", "The store failed", str(error))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        kind = HTTPStatus(error.status_code).phrase
        detail = f"{request.method} {request.url.path}: {error.detail}"
        response = problem(error.status_code, kind.lower().replace(" ", "-"), kind, detail)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"pointer": "/" + "/".join(str(part) for part in one["loc"]), "detail": one["msg"]}
            for one in error.errors()
        ]
        detail = "; ".join(f"{one['pointer']}: {one['detail']}" for one in errors)
        return problem(422, "invalid", "The request is not valid", detail, errors=errors)

    @app.exception_handler(Exception)
    def _defect(_request: Request, _error: Exception) -> JSONResponse:
        # The server raises it again after this answer has left, so that it reaches the log.
        return problem(500, "defect", "A defect in this program", "the operator finds the reason in the log")
