"""What the API works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import HTTPConnection

from ccx.runner.services import Services


@dataclass(frozen=True)
class RestContext:
    """Handed to :func:`ccx.rest.create_app` once; nothing of it changes afterwards."""

    services: Services
    agent_version: str
    """Of the ``ccx-agent`` package that new nodes install."""
    apt: Path | None = None
    """The APT repository's folder, served to nodes at ``/apt/``; None where something else serves it."""


def context_of(connection: HTTPConnection) -> RestContext:
    """The context of the application that this request came to."""
    context = connection.app.state.context
    assert isinstance(context, RestContext)
    return context
