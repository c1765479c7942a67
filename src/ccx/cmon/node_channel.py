"""How the control plane reaches a node: one verb of ``ccx-agent`` at a time, JSON in, JSON lines of progress out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ccx.cmon.spec import NodeSpec
from ccx.errors import CcxError, Transient

Progress = Callable[[dict[str, Any]], Awaitable[None]]


class NodeUnreachable(Transient):
    """No connection to the node, or it broke. The verb may or may not have run: verbs are idempotent."""


class NodeRefused(CcxError):
    """The node ran the verb and it failed, or refused a stale token. ``err`` is the agent's own words."""

    status = 502


class NodeChannel(Protocol):
    """Runs verbs on nodes. Connections are kept and shared; calls to one node may run side by side."""

    async def call(
        self,
        node: NodeSpec,
        verb: str,
        args: dict[str, Any] | None = None,
        *,
        token: int | None = None,
        timeout: float = 30,  # noqa: ASYNC109 - the limit travels to the node as well
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Runs ``ccx-agent <verb>`` and returns its result.

        ``args`` go over standard input (never the command line). ``token`` is the job's claim; the agent refuses one
        that is lower than the last it saw. Raises :class:`NodeUnreachable` (retry) or :class:`NodeRefused`.
        """

    async def close(self) -> None:
        """Ends all connections."""
