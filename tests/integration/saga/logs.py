"""Logs that cost little: many steps fail on purpose here, and drawing their tracebacks took longer than running."""

from __future__ import annotations

import structlog


def log_plainly() -> None:
    """One line an event; an exception as its type and text."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("%H:%M:%S.%f"),
            _name_exception,
            structlog.dev.ConsoleRenderer(colors=False),
        ]
    )


def _name_exception(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if isinstance(exc := event.pop("exc_info", None), BaseException):
        event["exc"] = f"{type(exc).__name__}: {exc}"
    return event
