"""What happens to every request before any route sees it. Plain ASGI: no task, no buffering of answers."""

from __future__ import annotations

import traceback
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ccx.errors import CcxError
from ccx.ids import new_id

log: Any = structlog.get_logger("ccx.rest")

BODY_LIMIT = 1024 * 1024
"""Bytes."""

_FORM_PATHS = ("/api/auth/oauth2/token",)


class Envelope:
    """Gives each request an id, and turns what nobody expected into a 500 that names it. The log has the traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(new_id())
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["path"].startswith("/api"):
                    # Some answers hold a password, and none is worth keeping.
                    headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            # Formatted here, and plainly: renderers that show local variables would show secrets.
            trace = traceback.format_exc()
            log.error("unexpected", request_id=request_id, method=scope["method"], path=scope["path"], trace=trace)
            if started:
                raise
            error = CcxError(
                "the control plane failed unexpectedly",
                status=500,
                remedy="Try again; if it stays, give this request_id to your operator",
                detail={"request_id": request_id},
            )
            await JSONResponse(error.shape(), 500)(scope, receive, send_with_id)


class Bodies:
    """Reads the body, up to :data:`BODY_LIMIT`, and calls it JSON whatever its Content-Type says.

    Existing clients send JSON without a Content-Type, and Content-Type JSON without a body. Both are fine.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_LIMIT:
                await _too_large()(scope, receive, send)
                return
        if scope["path"] not in _FORM_PATHS:
            # A new scope and list: the server may still look at its own.
            scope = {**scope, "headers": [h for h in scope["headers"] if h[0] != b"content-type"]}
            if body:
                scope["headers"].append((b"content-type", b"application/json"))
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)


def _too_large() -> JSONResponse:
    error = CcxError(f"the body is larger than {BODY_LIMIT // 1024} KiB", status=413, remedy="Send less at a time")
    # The rest of the body is not read, so the connection can't be used again.
    return JSONResponse(error.shape(), 413, {"Connection": "close"})
