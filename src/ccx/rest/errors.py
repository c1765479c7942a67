"""Every error leaves in one shape: ``{code, err, field, remedy}``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ccx.errors import CcxError, NotFound, Transient
from ccx.rest.middleware import log

_REMEDIES = {
    400: "Send a JSON object, in UTF-8",
    404: "Look the path up in /api/openapi.json",
    405: "Look the method up in /api/openapi.json",
}


def add_error_handlers(app: FastAPI) -> None:
    """Teaches the application the shape. What no handler knows is for :class:`ccx.rest.middleware.Envelope`."""
    app.add_exception_handler(CcxError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Transient, _unavailable)
    app.add_exception_handler(OperationalError, _unavailable)
    app.add_exception_handler(InterfaceError, _unavailable)


def answer(error: CcxError) -> JSONResponse:
    """The error as a response."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in error.detail:
        headers["Retry-After"] = str(error.detail["retry_after"])
    return JSONResponse(error.shape(), error.status, headers)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CcxError)
    return answer(error)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    what = {404: "there is no such path", 405: f"{request.method} isn't possible here"}.get(
        error.status_code, str(error.detail) or HTTPStatus(error.status_code).phrase
    )
    response = answer(CcxError(what, status=error.status_code, remedy=_REMEDIES.get(error.status_code)))
    response.headers.update(error.headers or {})
    return response


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    log.warning("unavailable", path=request.url.path, error=type(error).__name__)
    what = (
        str(error) if isinstance(error, Transient) and str(error) else "something that this needs does not answer now"
    )
    detail = {"retry_after": 5}
    return answer(CcxError(what, status=503, remedy="Try again in a few seconds", detail=detail))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own refusals. The input is not repeated: it may be a password."""
    assert isinstance(error, RequestValidationError)
    return answer(_translate(error.errors()[0]))


def _translate(first: dict[str, Any]) -> CcxError:
    where, *path = first["loc"]
    field = ".".join(str(part) for part in path if part != "[key]")
    match first["type"]:
        case "json_invalid":
            reason = first.get("ctx", {}).get("error", "it can't be read")
            return CcxError(f"the body is no JSON: {reason}", status=400, remedy="Send a JSON object")
        case "unknown_field":
            name = first["ctx"]["name"]
            field = f"{field}.{name}" if field else name
            return CcxError("there is no such field", field=field, remedy=first["ctx"]["remedy"])
        case "missing":
            what = f"{field} is missing" if field else "the body is missing"
            return CcxError(what, field=field or None, remedy="Send it")
    if where == "path":
        return NotFound(f"there is no {field.removesuffix('_id')} of that id", remedy="Ids are UUIDs")
    message = first["msg"][:1].lower() + first["msg"][1:]
    return CcxError(message, field=field or None, remedy="Correct it and send the request again")
