"""A local cloud's daemon of a test's own, and what the machine shows of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from itertools import count
from pathlib import Path
from typing import Any

from ccx.clouds.base import Direction, Firewall, Rule, Server, ServerSpec, ServerState, Tags, VolumeSpec
from ccx.clouds.local.driver import LocalCloud
from ccx.clouds.local.place import Place
from ccx.clouds.local.teardown import teardown
from ccx.embedded import subnet

_PREFIX = os.environ.get("CCX_TEST_PREFIX", f"t{os.getpid()}")
_numbers = count(1)
# cloud-init makes a host key, and the machine answers SSH without anybody's help.
USER_DATA = "#cloud-config\n{}\n"
BOOTS_WITHIN = 60.0


@dataclass
class Daemon:
    """One instance's daemon, and a client of it."""

    place: Place
    cloud: LocalCloud
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=lambda: Path(tempfile.mkstemp(prefix="ccx-daemon-")[1]))

    async def start(self) -> None:
        command = [sys.executable, "-m", "ccx.clouds.local.daemon", "--instance", self.place.instance]
        command += ["--subnet", str(self.place.subnet), "--group", "root", *self.options]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket(socket.AF_UNIX) as client:
                return self.place.socket.exists() and client.connect_ex(str(self.place.socket)) == 0

        await eventually(answers, 30, "the daemon answers")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=20)


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[Daemon]:
    """A daemon with a name and a network that nobody else has; everything of it is removed at the end."""
    instance = f"{_PREFIX}-lc{next(_numbers)}"
    place = Place(instance, subnet.choose(await subnet.taken(instance)))
    daemon = Daemon(place, LocalCloud(place.socket), options)
    try:
        await daemon.start()
        yield daemon
    finally:
        await daemon.cloud.close()
        await teardown(instance)
        if daemon.process is not None:
            daemon.process.wait(timeout=20)
        daemon.log.unlink(missing_ok=True)


@dataclass(frozen=True)
class Store:
    """A datastore's resources on a daemon's cloud."""

    daemon: Daemon
    short_id: str

    @property
    def cloud(self) -> LocalCloud:
        return self.daemon.cloud

    def name(self, what: str) -> str:
        return f"ccx-{self.daemon.place.instance}-{self.short_id}-{what}"

    def tags(self) -> Tags:
        return Tags(self.daemon.place.instance, self.short_id, 1, "user:tester")

    def spec(self, what: str) -> ServerSpec:
        return ServerSpec(
            self.name(what), f"{what}.{self.short_id}.local.test", "tiny", "local", self.name(f"{what}-data"),
            self.name("fw"), USER_DATA,
        )  # fmt: skip

    async def allow(self, *rules: Rule) -> None:
        await self.cloud.put_firewall(Firewall(self.name("fw"), rules), self.tags())

    async def boot(self, what: str, **changed: Any) -> Server:
        """A server with a volume; its firewall must exist."""
        await self.cloud.create_volume(VolumeSpec(self.name(f"{what}-data"), 1, "ssd", "local"), self.tags())
        return await self.cloud.create_server(replace(self.spec(what), **changed), self.tags())

    async def state(self, what: str) -> ServerState | None:
        found = await self.cloud.get_server(self.name(what))
        return found.state if found else None

    async def delete(self) -> None:
        found = [r for r in await self.cloud.inventory(self.daemon.place.instance) if r.tags.datastore == self.short_id]
        by_kind = {"server": self.cloud.delete_server, "volume": self.cloud.delete_volume}
        for kind, delete in (*by_kind.items(), ("firewall", self.cloud.delete_firewall)):
            for resource in found:
                if resource.kind == kind:
                    await delete(resource.name, self.tags())


def ingress(port: int, peer: object) -> Rule:
    return Rule(Direction.INGRESS, "tcp", port, str(peer))


def egress(port: int, peer: object, protocol: str = "tcp") -> Rule:
    return Rule(Direction.EGRESS, protocol, port, str(peer))


async def connects(address: str | None, port: int, within: float = 0.5) -> bool:
    """Whether this machine gets a connection to it."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), within)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def inside(daemon: Daemon, what: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a machine's own namespaces."""
    from ccx.clouds.local.cgroups import Group
    from ccx.clouds.local.processes import find_init

    init = find_init(Group(daemon.place.instance, what).processes())
    assert init is not None, f"{what} does not run"
    return await asyncio.to_thread(
        subprocess.run,
        ["nsenter", f"--target={init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--", *argv],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


async def eventually(condition: Callable[[], Awaitable[Any] | Any], within: float, what: str) -> Any:
    """Polls until the condition is true and returns its value; fails with what it last saw."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        seen = condition()
        if isinstance(seen, Awaitable):
            seen = await seen
        if seen:
            return seen
        assert asyncio.get_running_loop().time() < deadline, f"not within {within} s: {what}; saw {seen!r}"
        await asyncio.sleep(0.02)


def traces(instance: str, network: IPv4Network) -> dict[str, list[str]]:
    """What the machine shows of an instance: everything in its name or its network."""

    def listed(*argv: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(subprocess.check_output(argv) or b"[]")
        return found

    place = Place(instance, network)
    routes = [r["dst"] for r in listed("ip", "-j", "route") if r["dst"] != "default"]
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if instance in command and int(entry.name) != os.getpid():
            processes.append(command)
    return {
        "namespaces": [n["name"] for n in listed("ip", "-j", "netns", "list") if place.router_namespace in n["name"]],
        "links": [link["ifname"] for link in listed("ip", "-j", "link") if link["ifname"] == place.host_link],
        "routes": [route for route in routes if IPv4Network(route, strict=False).subnet_of(network)],
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if instance in line],
        "loop devices": [
            backing.read_text()
            for backing in Path("/sys/block").glob("loop*/loop/backing_file")
            if instance in backing.read_text()
        ],
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/*ccx-{instance}*")],
        "folders": [str(path) for path in (place.var, place.run) if path.exists()],
        "processes": processes,
    }
