"""An installation as a test drives it, and what a machine shows of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from ccx.embedded import processes, record
from ccx.embedded.layout import Layout, remembered

CCX = Path(sys.executable).with_name("ccx")
_UP_WITHIN_S = 120


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def run(
    *argv: str | Path, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; its output is in the error when ``check`` fails."""
    process = await asyncio.create_subprocess_exec(
        *map(str, argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    out, err = (part.decode(errors="replace") for part in await process.communicate())
    assert process.returncode is not None
    if check:
        assert process.returncode == 0, f"{argv} exited with {process.returncode}:\n{out}{err}"
    return subprocess.CompletedProcess([str(arg) for arg in argv], process.returncode, out, err)


async def eventually(
    condition: Callable[[], Awaitable[Any] | Any], within: float, every: float = 0.1, what: str = ""
) -> Any:
    """Polls until the condition is true and returns its value; fails with what it last saw."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        seen = condition()
        if isinstance(seen, Awaitable):
            seen = await seen
        if seen:
            return seen
        assert asyncio.get_running_loop().time() < deadline, f"not within {within} s: {what or condition}; saw {seen!r}"
        await asyncio.sleep(every)


@dataclass
class Installed:
    """One instance of this machine, made for a test."""

    instance: str
    listen: str
    intrusions: set[tuple[str, int]] = field(default_factory=set)
    """Addresses and ports that tests tried to reach from inside, and that nobody may."""

    @property
    def layout(self) -> Layout:
        found = remembered(self.instance)
        assert found is not None, f"instance {self.instance} is not installed"
        return found

    @property
    def url(self) -> str:
        return f"https://{self.listen}"

    @property
    def ca(self) -> Path:
        return Path("/etc/ccx") / self.instance / "ca.crt"

    async def up(self, *options: str) -> str:
        """Starts it and returns what was printed."""
        async with asyncio.timeout(_UP_WITHIN_S):
            done = await run(CCX, "up", "--instance", self.instance, "--listen", self.listen, "--detach", *options)
        return done.stdout

    async def down(self, *options: str) -> None:
        await run(CCX, "down", "--instance", self.instance, *options)

    async def ccx(self, *argv: str, check: bool = True, config: Path | None = None) -> subprocess.CompletedProcess[str]:
        """The ``ccx`` command, pointed at this installation."""
        env = {"CCX_BASE_URL": self.url, "CCX_CA_FILE": str(self.ca)}
        if config is not None:
            env["XDG_CONFIG_HOME"] = str(config)
        return await run(CCX, *argv, check=check, env=env)

    def http(self, **options: Any) -> httpx.AsyncClient:
        """A client of the public listener that trusts the installation's CA and nothing else."""
        trust = ssl.create_default_context(cafile=str(self.ca))
        return httpx.AsyncClient(base_url=self.url, verify=trust, **options)

    async def healthy(self) -> bool:
        try:
            async with self.http(timeout=2) as http:
                return (await http.get("/api/health")).status_code == 200
        except (httpx.HTTPError, OSError):
            return False

    def record(self) -> record.Record:
        found = record.read(self.layout.run)
        assert found is not None, "no supervisor has run"
        return found

    def pid(self, part: str) -> int | None:
        return self.record().parts[part].pid

    async def kill_serve(self) -> None:
        """Kills the one process that has all roles, and returns when the supervisor has started another."""
        pid = self.pid("serve")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: self.pid("serve") not in (None, pid), within=60, what="another process serves")

    async def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What the metadata database answers, asked by this machine's root."""
        where = f"host={self.layout.postgres_socket} user=postgres dbname=ccx"
        async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
            return await (await connection.execute(statement.encode(), parameters)).fetchall()

    async def inside(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program in the control plane's network namespace, as root."""
        return await run("ip", "netns", "exec", self.layout.namespace, *argv, check=check)


@dataclass(frozen=True)
class Traces:
    """What an instance leaves on a machine, by the instance's name."""

    namespaces: frozenset[str]
    mounts: frozenset[str]
    links: frozenset[str]
    processes: frozenset[str]
    folders: frozenset[str]


async def traces(instance: str) -> Traces:
    """Everything on this machine that bears the instance's name."""
    namespaces = json.loads((await run("ip", "-j", "netns", "list")).stdout or "[]")
    links = json.loads((await run("ip", "-j", "link", "show")).stdout)
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return Traces(
        namespaces=frozenset(n["name"] for n in namespaces if instance in n["name"]),
        mounts=frozenset(point for point in mounts if instance in point),
        links=frozenset(
            f"{link['ifname']} {link.get('ifalias', '')}" for link in links if instance in json.dumps(link)
        ),
        processes=frozenset(_command_lines_with(instance)),
        folders=frozenset(
            str(Path(root) / instance)
            for root in ("/etc/ccx", "/var/lib/ccx", "/run/ccx")
            if (Path(root) / instance).exists()
        ),
    )


def _command_lines_with(word: str) -> list[str]:
    found = []
    for pid in processes.all_pids():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in command and pid != os.getpid():
            found.append(f"{pid} {command}")
    return found
