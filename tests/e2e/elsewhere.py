"""Another machine, as a network namespace behind this one, with a PostgreSQL and a NATS of the operator's own in it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from tests.e2e.machine import eventually, run

from ccx.clouds.local.image import find_image
from ccx.embedded.namespace import connection_error
from ccx.pki import KeyPair, issue, new_ca

_CLONE_NEWNET = 0x40000000
_NETWORK = "198.18.7"
"""RFC 2544: nobody's."""


@dataclass
class Elsewhere:
    """It can be reached through this machine only, and sends all that it answers to it."""

    namespace: str
    name: str
    home: Path
    ca: KeyPair = field(repr=False)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    address: str = f"{_NETWORK}.2"
    postgres: subprocess.Popen[bytes] | None = None

    def sql(self, database: str) -> psycopg.Connection:
        """Its superuser, by the unix socket."""
        return psycopg.connect(host=str(self.home), user="postgres", dbname=database, autocommit=True)

    def stop_postgres(self) -> None:
        if self.postgres is not None:
            self.postgres.send_signal(signal.SIGINT)
            self.postgres.wait(20)
            self.postgres = None

    async def connects_to(self, address: str, port: int) -> bool:
        """Whether a program there gets a TCP connection."""
        script = f"exec 3<>/dev/tcp/{address}/{port}"
        tried = await run(
            "ip", "netns", "exec", self.namespace, "timeout", "2", "bash", "-c", script, check=False
        )  # fmt: skip
        return tried.returncode == 0


@asynccontextmanager
async def elsewhere(tag: str) -> AsyncIterator[Elsewhere]:
    """Both servers run, by TLS and with a password only. ``tag`` makes its names its own."""
    space, link = f"{tag}-elsewhere", f"else{os.getpid()}"
    home = Path(tempfile.mkdtemp(prefix="ccx-elsewhere-"))
    home.chmod(0o755)
    there = Elsewhere(space, f"db.{tag}.example", home, new_ca("elsewhere"))
    executor = ThreadPoolExecutor(1)  # its thread is in the namespace, and so is what it starts
    nats: list[subprocess.Popen[bytes]] = []
    hosts = Path("/etc/hosts").read_text()
    try:
        await _drop_stale_links()
        await run("ip", "netns", "add", space)
        await run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        await run("ip", "addr", "add", f"{_NETWORK}.1/30", "dev", link)
        await run("ip", "link", "set", link, "up")
        for words in ("link set lo up", f"addr add {there.address}/30 dev eth0", "link set eth0 up"):
            await run("ip", "-n", space, *words.split())
        await run("ip", "-n", space, "route", "add", "default", "via", f"{_NETWORK}.1")
        _write(Path("/etc/hosts"), hosts + f"{there.address} {there.name}\n")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(executor, _join, space)
        there.postgres = await loop.run_in_executor(executor, _start_postgres, there)
        await eventually(lambda: _prepare_database(there), within=30, what="PostgreSQL answers")
        nats.append(await loop.run_in_executor(executor, _start_nats, there))
        await eventually(lambda: _answers(there, 4222), within=20, what="NATS listens")
        yield there
    finally:
        _write(Path("/etc/hosts"), hosts)
        for process in nats:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        there.stop_postgres()
        executor.shutdown()
        await run("ip", "link", "delete", link, check=False)
        await run("ip", "netns", "delete", space, check=False)
        shutil.rmtree(home, ignore_errors=True)


async def _drop_stale_links() -> None:
    """Of tests that were killed: they hold the addresses that this one needs."""
    for left in Path("/sys/class/net").glob("else[0-9]*"):
        if not Path("/proc", left.name.removeprefix("else")).exists():
            await run("ip", "link", "delete", left.name, check=False)


async def _answers(there: Elsewhere, port: int) -> bool:
    return await connection_error((there.address, port)) is None


def _write(file: Path, text: str) -> None:
    """In place: it may be bound into a container."""
    file.write_text(text)


def _join(space: str) -> None:
    descriptor = os.open(f"/run/netns/{space}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


def _certificate(there: Elsewhere, who: str, owner: int) -> tuple[str, str]:
    """File names of certificate and key, which ``owner`` reads."""
    made = issue(there.ca, who, dns_names=[there.name], addresses=[there.address], client=False)
    for end, text in (("crt", made.certificate), ("key", made.key)):
        file = there.home / f"{who}.{end}"
        file.touch(mode=0o600)
        file.write_text(text)
        os.chown(file, owner, owner)
    return f"{who}.crt", f"{who}.key"


def _start_postgres(there: Elsewhere) -> subprocess.Popen[bytes]:
    """Debian's, out of the nodes' image: that of the wheel knows no TLS."""
    image = find_image("baked")
    assert image is not None, "script/bootstrap makes it"
    users = (image / "etc/passwd").read_text().splitlines()
    owner = int(next(line for line in users if line.startswith("postgres:")).split(":")[2])
    os.chown(there.home, owner, owner)
    certificate, key = _certificate(there, "postgresql", owner)
    in_image = [
        "unshare", "--mount", "sh", "-euc",
        'mount --rbind /dev "$0/dev"; mount --bind "$1" "$0/mnt"; shift; exec chroot "$0" setpriv '
        '--reuid=postgres --regid=postgres --clear-groups --pdeathsig=INT -- "$@"',
        str(image), str(there.home),
    ]  # fmt: skip
    programs = "/usr/lib/postgresql/17/bin"
    subprocess.run(
        [*in_image, f"{programs}/initdb", "-D", "/mnt/data", "-A", "trust", "--no-sync", "-E", "UTF8",
         "--locale=C.UTF-8"],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    (there.home / "data/pg_hba.conf").write_text("local all all trust\nhostssl all all 0.0.0.0/0 scram-sha-256\n")
    settings = {
        "listen_addresses": "*", "unix_socket_directories": "/mnt", "fsync": "off", "ssl": "on",
        "ssl_cert_file": f"/mnt/{certificate}", "ssl_key_file": f"/mnt/{key}", "dynamic_shared_memory_type": "mmap",
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (there.home / "postgresql.log").open("ab") as log:
        return subprocess.Popen(
            [*in_image, f"{programs}/postgres", "-D", "/mnt/data", *options], stdout=log, stderr=log, cwd="/"
        )


def _prepare_database(there: Elsewhere) -> bool:
    try:
        with there.sql("postgres") as connection:
            connection.execute(f"create role metadata login password '{there.password}'".encode())
            connection.execute("create database metadata owner metadata")
    except psycopg.OperationalError:
        return False
    return True


def _start_nats(there: Elsewhere) -> subprocess.Popen[bytes]:
    certificate, key = (there.home / name for name in _certificate(there, "nats", os.getuid()))
    config = there.home / "nats.conf"
    config.write_text(
        f'listen: "0.0.0.0:4222"\njetstream {{ store_dir: {json.dumps(str(there.home / "jetstream"))} }}\n'
        f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}\n'
        f'authorization {{ user: events, password: "{there.password}" }}\n'
    )
    with (there.home / "nats.log").open("ab") as log:
        return subprocess.Popen(
            [Path(sys.prefix) / "bin" / "nats-server", "-c", config],
            stdout=log, stderr=log, preexec_fn=_die_with_parent(),
        )  # fmt: skip


def _die_with_parent() -> Callable[[], None]:
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(1, signal.SIGTERM)
