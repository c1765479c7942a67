"""Gathers an installation's secrets, and everything that must hold none of them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from tests.e2e.machine import Installed, run

from ccx.clouds.base import ResourceKind
from ccx.clouds.local import LocalCloud
from ccx.clouds.local.cgroups import Group
from ccx.clouds.local.processes import find_init
from ccx.embedded import processes
from ccx.secrets import KeyRing, Vault
from ccx.secrets.model import Secret

SHORTEST_LINE = 30
"""Characters of a key's line that are looked for on their own: text that holds a key may be wrapped or escaped."""

Secrets = dict[str, str]
"""By a name that says what it is."""
Places = Mapping[str, bytes]
"""What is searched, by a name that says where it is."""


def needles(secrets: Secrets) -> dict[str, set[bytes]]:
    """What to look for, by the secrets' names. Lines that several keys share are their format's, not theirs."""
    lines = {name: set(_lines(value)) for name, value in secrets.items()}
    shared = Counter(line for found in lines.values() for line in found)
    by_value = Counter(secrets.values())
    return {
        name: {line.encode() for line in found if shared[line] <= by_value[secrets[name]]}
        for name, found in lines.items()
    }


def _lines(value: str) -> Iterable[str]:
    if "PRIVATE KEY" not in value:
        return [value]
    lines = [line for line in value.splitlines() if not line.startswith("---") and len(line) >= SHORTEST_LINE]
    # What follows in a PKCS 8 key is the public key alone, which stands in certificates.
    return lines if "OPENSSH" in value else lines[:2]


def search(secrets: Secrets, places: Places) -> list[tuple[str, str]]:
    """``(secret's name, place)`` of each that stands where it must not."""
    wanted = needles(secrets)
    assert all(wanted.values()), [name for name, found in wanted.items() if not found]
    return [
        (name, place)
        for place, content in places.items()
        for name, found in wanted.items()
        if any(needle in content for needle in found)
    ]


class VaultWatch:
    """Opens every secret that the vault has at any time; some are forgotten after seconds."""

    def __init__(self, installed: Installed) -> None:
        self.seen: Secrets = {}
        layout = installed.layout
        self._engine = create_async_engine(f"postgresql+psycopg://postgres@/ccx?host={layout.postgres_socket}")
        self._vault = Vault(KeyRing.load(layout.etc / "wrapping.key"))

    async def look(self) -> None:
        async with async_sessionmaker(self._engine)() as tx:
            for scope in (await tx.scalars(select(Secret.scope).distinct())).all():
                for name, value in (await self._vault.get_all(tx, scope)).items():
                    if not name.endswith("certificate"):
                        self.seen[f"{scope} {name}"] = value

    @asynccontextmanager
    async def always(self) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                await self.look()
                await asyncio.sleep(0.2)

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            await self._engine.dispose()
        assert isinstance(outcome, asyncio.CancelledError), outcome


class ProcessWatch:
    """The arguments of all processes of this machine and of its nodes; and the environments of those that stay."""

    def __init__(self) -> None:
        self.arguments: dict[int, set[bytes]] = defaultdict(set)
        self._twice: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def places(self) -> dict[str, bytes]:
        return {f"arguments of process {pid}": b" ".join(seen) for pid, seen in self.arguments.items()}

    def _run(self) -> None:
        last: set[int] = set()
        while not self._ended.wait(0.05):
            now = set(processes.all_pids())
            # Twice, for a new process still has its parent's arguments.
            for pid in now - last:
                self._read(pid)
            for pid in (now & last) - self._twice:
                self._twice.add(pid)
                self._read(pid)
            self._twice &= now
            last = now

    def _read(self, pid: int) -> None:
        with suppress(OSError):
            self.arguments[pid].add(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))


def environments() -> dict[str, bytes]:
    """Of all processes there are now, but this one."""
    found = {}
    for pid in processes.all_pids():
        with suppress(OSError):
            if pid != os.getpid():
                found[f"environment of process {pid}"] = Path(f"/proc/{pid}/environ").read_bytes()
    return found


async def database(installed: Installed) -> dict[str, bytes]:
    """Every row of every table, as text; sealed values and hashes are bytes in it like all others."""
    tables = await installed.query(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'"
    )
    found = {}
    for schema, table in tables:
        rows = await installed.query(f'select row::text from "{schema}"."{table}" as row')
        found[f"table {schema}.{table}"] = "\n".join(row[0] for row in rows).encode()
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder that is a file."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                found[str(path)] = path.read_bytes()
    return found


async def machines(installed: Installed, cloud: LocalCloud) -> dict[str, bytes]:
    """What nodes log: to their journals, to their files and to their consoles."""
    found: dict[str, bytes] = {}
    for resource in await cloud.inventory(installed.instance):
        if resource.kind is not ResourceKind.SERVER:
            continue
        home = installed.layout.var / "cloud/machines" / resource.name
        found |= {f"{resource.name} console": (home / "console.log").read_bytes()}
        found |= files(home / "upper/var/log")
        init = find_init(Group(installed.instance, resource.name).processes())
        if init is not None:
            journal = await run(
                "nsenter",
                f"--target={init}",
                "--mount",
                "--pid",
                "--",
                "journalctl",
                "--no-pager",
                "--all",
                "-o",
                "json",
            )
            found[f"{resource.name} journal"] = journal.stdout.encode()
    return found


def user_data(installed: Installed) -> dict[str, bytes]:
    """What each machine was told at its first boot."""
    machines = installed.layout.var / "cloud/machines"
    return {str(path): path.read_bytes() for path in machines.glob("*/upper/var/lib/cloud/seed/nocloud/user-data")}


def of_the_installation(installed: Installed) -> Secrets:
    """The files that only root or the control plane may read."""
    etc = installed.layout.etc
    keys = [json.loads(line)["key"] for line in (etc / "wrapping.key").read_text().splitlines()]
    found = {f"wrapping key {number}": key for number, key in enumerate(keys)}
    found["NATS password"] = (etc / "nats.credentials").read_text().split()[1]
    found["operator's password"] = installed.layout.operator_password.read_text().strip()
    for file in ("ssh.key", "tls.key", "ca.key"):
        found[file] = (etc / file).read_text()
    return found
