"""The node channel against a real SSH server that runs the real agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from ccx.cmon import ssh_channel
from ccx.cmon.node_channel import NodeRefused, NodeUnreachable
from ccx.cmon.spec import NodeSpec
from ccx.cmon.ssh_channel import SshChannel
from ccx.pki import issue, new_ca, new_ssh_key

AGENT = Path(__file__).parents[2] / "agent"


class Node:
    """An SSH server that does what a node's does: runs the agent for the one account."""

    def __init__(self, folder: Path, authorized: str) -> None:
        self.private, self.public = new_ssh_key()
        self.connections = 0
        self.commands: list[str] = []
        self._folder = folder
        self._authorized = authorized
        self._server: asyncssh.SSHAcceptor | None = None
        self._open: list[asyncssh.SSHServerConnection] = []
        self.waiting, self.go, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        """A ``wait`` runs; it may end; a connection was closed."""

    async def start(self, port: int = 0) -> int:
        outer = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                outer.connections += 1
                outer._open.append(conn)

            def connection_lost(self, exc: Exception | None) -> None:
                outer.left.set()

        self._server = await asyncssh.create_server(
            Server, "127.0.0.1", port, server_host_keys=[asyncssh.import_private_key(self.private)],
            authorized_client_keys=asyncssh.import_authorized_keys(self._authorized),
            process_factory=self._run, encoding=None,
        )  # fmt: skip
        return self._server.get_port()

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        self.commands.append(command)
        if command.endswith(" vanish"):
            process.exit(127)
            return
        if command.endswith((" wait", " hang")):
            self.waiting.set()
            await (self.go if command.endswith(" wait") else asyncio.Event()).wait()
            process.stdout.write(b'{"result": {"went": true}}\n')
            process.exit(0)
            return
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ccx_agent", command.split()[-1],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={
                "PYTHONPATH": str(AGENT), "PATH": os.environ["PATH"],
                "CCX_AGENT_STATE": str(self._folder / "state"), "CCX_AGENT_ROOT": str(self._folder),
            },
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(await process.stdin.read())
        child.stdin.close()
        async for line in child.stdout:
            process.stdout.write(line)
        process.exit(await child.wait())

    def cut(self) -> None:
        for connection in self._open:
            connection.abort()
        self._open = []

    async def stop(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None


@pytest.fixture
async def reached(tmp_path: Path) -> AsyncIterator[tuple[Node, NodeSpec, SshChannel]]:
    private, public = new_ssh_key()
    node = Node(tmp_path, public)
    port = await node.start()
    channel = SshChannel(private, port=port)
    yield node, NodeSpec("id-1", "n1g1", "n1g1.example.net", "127.0.0.1", node.public), channel
    await channel.close()
    await node.stop()


async def test_calls_share_one_connection_and_may_run_side_by_side(reached: Any) -> None:
    node, spec, channel = reached
    answers = await asyncio.gather(*(channel.call(spec, "hello") for _ in range(4)))
    assert all(answer["protocol"] == ssh_channel.PROTOCOL for answer in answers)
    assert node.connections == 1


async def test_arguments_never_stand_on_the_command_line(reached: Any) -> None:
    node, spec, channel = reached
    files = [{"path": "/etc/ccx/a", "content": "geheim", "owner": _me()}]
    assert await channel.call(spec, "write-files", {"files": files}, token=1) == {"changed": ["/etc/ccx/a"]}
    assert node.commands == ["sudo -n /usr/bin/ccx-agent write-files"]


async def test_a_refusal_is_in_the_agents_own_words(reached: Any) -> None:
    _, spec, channel = reached
    with pytest.raises(NodeRefused, match="not a file that the control plane may write") as refused:
        await channel.call(spec, "write-files", {"files": [{"path": "/etc/passwd", "content": ""}]}, token=1)
    assert refused.value.remedy is not None
    await channel.call(spec, "write-files", {"files": []}, token=5)
    with pytest.raises(NodeRefused, match="token 4 is older than 5"):
        await channel.call(spec, "write-files", {"files": []}, token=4)


async def test_a_broken_connection_is_made_again(reached: Any) -> None:
    node, spec, channel = reached
    await channel.call(spec, "hello")
    node.cut()
    with contextlib.suppress(NodeUnreachable):  # the break may be noticed by this call, or before it
        await channel.call(spec, "hello")
    await channel.call(spec, "hello")
    assert node.connections == 2


async def test_a_node_with_another_host_key_is_not_talked_to(reached: Any) -> None:
    node, spec, channel = reached
    other = NodeSpec(spec.id, spec.label, spec.hostname, spec.address, new_ssh_key()[1])
    with pytest.raises(NodeUnreachable, match="host key is not the one"):
        await channel.call(other, "hello")
    assert node.commands == []


async def test_a_connection_is_dropped_when_the_pinned_key_changes(reached: Any) -> None:
    _, spec, channel = reached
    await channel.call(spec, "hello")
    other = NodeSpec(spec.id, spec.label, spec.hostname, spec.address, new_ssh_key()[1])
    with pytest.raises(NodeUnreachable):
        await channel.call(other, "hello")


async def test_a_machine_that_is_off_is_unreachable_and_found_again_when_it_is_on(reached: Any) -> None:
    node, spec, channel = reached
    port = channel._port
    await node.stop()
    with pytest.raises(NodeUnreachable, match="n1g1 can't be reached"):
        await channel.call(spec, "hello")
    await node.start(port)
    assert (await channel.call(spec, "hello"))["protocol"] == ssh_channel.PROTOCOL


async def test_a_verb_that_takes_too_long_is_given_up(reached: Any, tmp_path: Path) -> None:
    _, spec, channel = reached
    pair = issue(ca := new_ca("test"), "node")
    told = {"ca": ca.certificate, "certificate": pair.certificate, "key": pair.key}
    for name, content in told.items():
        (tmp_path / name).write_text(content)
    args = {**{name: str(tmp_path / name) for name in told}, "endpoints": ["https://127.0.0.1:1"], "limit": 60}
    with pytest.raises(NodeRefused, match=r"not finished after 0\.1 s"):
        await channel.call(spec, "etcd-ready", args, timeout=0.1)  # nothing is ever there


async def test_a_verb_that_is_given_up_leaves_the_others_of_its_connection_alone(
    reached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, spec, channel = reached
    async with asyncio.timeout(20):
        other = asyncio.create_task(channel.call(spec, "wait"))
        await node.waiting.wait()
        monkeypatch.setattr(ssh_channel, "CONNECT_LIMIT", 0.1)
        with pytest.raises(NodeUnreachable, match=r"did not finish hang in 0\.1 s"):
            await channel.call(spec, "hang", timeout=0.1)
        monkeypatch.undo()
        # Nobody knows whether the node or the verb was silent: who comes next finds out on a connection of its own.
        await channel.call(spec, "hello")
        assert node.connections == 2
        assert not node.left.is_set()
        node.go.set()
        assert await other == {"went": True}
        await node.left.wait()  # of no use any more, it is closed
    await channel.call(spec, "hello")
    assert node.connections == 2


async def test_a_command_that_ends_without_an_answer_is_no_success(reached: Any) -> None:
    _, spec, channel = reached
    with pytest.raises(NodeUnreachable, match="ended without an answer"):
        await channel.call(spec, "vanish")


async def test_the_contract_is_asked_before_anything_is_sent(tmp_path: Path) -> None:
    private, public = new_ssh_key()
    node = Node(tmp_path, public)
    port = await node.start()
    asked = []

    def refuse(host: str, at: int) -> None:
        asked.append((host, at))
        raise PermissionError("not declared")

    channel = SshChannel(private, refuse, port=port)
    with pytest.raises(Exception, match="not declared"):
        await channel.call(NodeSpec("i", "n1g1", "h", "127.0.0.1", node.public), "hello")
    assert (asked, node.connections) == ([("127.0.0.1", port)], 0)
    await node.stop()


def _me() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
