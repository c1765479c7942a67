"""The node channel over SSH: one connection per node, kept and shared, its host key pinned."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from ccx.cmon.endpoints import SSH_TO_NODES
from ccx.cmon.node_channel import NodeRefused, NodeUnreachable, Progress
from ccx.cmon.spec import NodeSpec

PROTOCOL = 1
"""Of the conversation with the agent. It understands this version and the one before."""

USER = "ccx-agent"
CONNECT_LIMIT = 5.0
_KEEPALIVE = 5
_SESSIONS = 16
"""Verbs that run side by side on one connection."""

Check = Callable[[str, int], None]

# asyncssh writes commands and addresses at INFO; we say what we do ourselves.
logging.getLogger("asyncssh").setLevel(logging.WARNING)


@dataclass
class _Link:
    """What there is of a connection to one node."""

    address: str
    host_key: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sessions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_SESSIONS))
    connection: asyncssh.SSHClientConnection | None = None
    verbs: Counter[asyncssh.SSHClientConnection] = field(default_factory=Counter)
    """How many run on which connection: this one, and those that are given up and end with their last verb."""

    @contextmanager
    def running_on(self, connection: asyncssh.SSHClientConnection) -> Iterator[None]:
        self.verbs[connection] += 1
        try:
            yield
        finally:
            self.verbs[connection] -= 1
            if not self.verbs[connection]:
                del self.verbs[connection]
                if self.connection is not connection:
                    connection.abort()

    def give_up(self, connection: asyncssh.SSHClientConnection | None) -> None:
        """Who comes next makes another. Verbs that run on it go on: it may be one of them alone that failed."""
        if self.connection is connection:
            self.connection = None
        if connection is not None and connection not in self.verbs:
            connection.abort()

    def close(self) -> None:
        """Whatever runs on it fails."""
        for connection in {*self.verbs, *([self.connection] if self.connection else [])}:
            connection.abort()
        self.connection = None


class _NoAnswer(Exception):
    """The verb ended without a word; the connection is fine."""


class SshChannel:
    """Implements :class:`ccx.cmon.node_channel.NodeChannel`.

    ``key`` is the control plane's private key (OpenSSH PEM). ``check`` is the network contract's: it is called with
    host and port before each connection, and raises when that is not declared.
    """

    def __init__(self, key: str, check: Check | None = None, port: int = 22) -> None:
        self._key = asyncssh.import_private_key(key)
        self._check = check
        self._port = port
        self._links: dict[str, _Link] = {}

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
        request: dict[str, Any] = {"protocol": PROTOCOL, "args": args or {}, "timeout": timeout}
        if token is not None:
            request["token"] = token
        link, connection = self._link(node), None
        try:
            async with link.sessions, asyncio.timeout(timeout + CONNECT_LIMIT):
                connection = await self._connected(link, node)
                with link.running_on(connection):
                    answer = await _converse(connection, verb, request, progress)
        except _NoAnswer as error:
            raise NodeUnreachable(f"{node.label}: {error}") from None
        except (asyncssh.Error, OSError) as error:
            # Only the connection that failed: another call may have made a new one meanwhile.
            link.give_up(connection)
            late = isinstance(error, TimeoutError) and connection is not None
            away = f"can't be reached ({SSH_TO_NODES.id}): {_reason(error)}"
            why = f"did not finish {verb} in {timeout:g} s" if late else away
            raise NodeUnreachable(f"{node.label} {why}") from error
        if "error" in answer:
            refusal = answer["error"]
            raise NodeRefused(f"{node.label}: {refusal.get('err')}", remedy=refusal.get("remedy") or None)
        result: dict[str, Any] = answer["result"]
        return result

    async def close(self) -> None:
        links, self._links = self._links, {}
        for link in links.values():
            link.close()

    def _link(self, node: NodeSpec) -> _Link:
        """The node's link; a new one when its address or host key is another than it was."""
        kept = self._links.get(node.id)
        if kept is not None and (kept.address, kept.host_key) == (node.address, node.host_key):
            return kept
        if kept is not None:
            kept.close()
        link = self._links[node.id] = _Link(node.address, node.host_key)
        return link

    async def _connected(self, link: _Link, node: NodeSpec) -> asyncssh.SSHClientConnection:
        async with link.lock:
            if link.connection is None or link.connection.is_closed():
                link.connection = await self._connect(node)
            return link.connection

    async def _connect(self, node: NodeSpec) -> asyncssh.SSHClientConnection:
        if self._check is not None:
            self._check(node.address, self._port)
        async with asyncio.timeout(CONNECT_LIMIT):
            return await asyncssh.connect(
                node.address,
                self._port,
                username=USER,
                client_keys=[self._key],
                known_hosts=([asyncssh.import_public_key(node.host_key)], [], []),
                config=None,
                agent_path=None,
                preferred_auth="publickey",
                server_host_key_algs=["ssh-ed25519"],
                compression_algs=["none"],
                keepalive_interval=_KEEPALIVE,
                keepalive_count_max=2,
            )


async def _converse(
    connection: asyncssh.SSHClientConnection, verb: str, request: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    """Runs the verb; returns its last line. Lines before it are progress."""
    async with _agent(connection, verb) as process:
        with suppress(OSError):  # it ended already: what it said, if anything, tells why
            process.stdin.write(json.dumps(request))
            process.stdin.write_eof()
        async for line in process.stdout:
            with suppress(ValueError):
                said = json.loads(line)
                if "result" in said or "error" in said:
                    return dict(said)
                if progress is not None:
                    await progress(said)
        complaint = (await process.stderr.read()).strip().splitlines()
    raise _NoAnswer(f"{verb} ended without an answer: {complaint[-1] if complaint else 'not a word'}")


@asynccontextmanager
async def _agent(connection: asyncssh.SSHClientConnection, verb: str) -> AsyncIterator[asyncssh.SSHClientProcess[str]]:
    process = await connection.create_process(f"sudo -n /usr/bin/ccx-agent {verb}")
    try:
        yield process
    except BaseException:
        process.channel.abort()  # without waiting for the node to agree: it may be silent
        raise
    process.close()
    await process.wait_closed()


def _reason(error: Exception) -> str:
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "its host key is not the one that we gave it"
    return str(error) or type(error).__name__
