"""A real SeaweedFS for tests: one process on loopback ports of its own, over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_ports

from ccx.pki import issue, new_ca
from ccx.storage.base import Credentials, Location

_READY_WITHIN_S = 60


@dataclass
class SeaweedFs:
    """A running store with one bucket, ``backups``."""

    folder: Path
    port: int
    keys: Credentials
    process: asyncio.subprocess.Process | None = None
    limits: tuple[str, ...] = ()

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def location(self) -> Location:
        return Location(f"https://127.0.0.1:{self.port}", "backups", "us-east-1", ca=self.ca)

    async def start(self) -> None:
        master, volume, filer = (self.port + offset for offset in (1, 2, 3))
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(Path(sys.prefix) / "bin" / "weed"), "-logtostderr=true", "server", f"-dir={self.folder / 'data'}",
                "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.electionTimeout=1s",
                "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0", f"-master.port={master}",
                f"-volume.port={volume}", "-volume.max=30", "-filer", f"-filer.port={filer}",
                "-s3", f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                f"-s3.cert.file={self.folder / 's3.crt'}", f"-s3.key.file={self.folder / 's3.key'}",
                f"-s3.config={self.folder / 's3.json'}", "-s3.iam.readOnly=false", "-s3.autoCreateBucket=false",
                *self.limits,
                stdout=log, stderr=log, env={"GOMEMLIMIT": "300MiB", "GOMAXPROCS": "2"},
            )  # fmt: skip
        async with asyncio.timeout(_READY_WITHIN_S):
            while not await self._answers():
                assert self.process.returncode is None, (self.folder / "log").read_text()[-2000:]
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """As a crash would."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def _answers(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.ca))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=trust)
            writer.write(b"GET /status HTTP/1.0\r\n\r\n")
            status = await asyncio.wait_for(reader.readline(), 2)
            writer.close()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in status


@asynccontextmanager
async def seaweedfs(folder: Path, *limits: str) -> AsyncIterator[SeaweedFs]:
    """Starts one, and kills it at the end. ``limits``: options over the fixture's own."""
    (folder / "data").mkdir(parents=True)
    keys = Credentials("TESTADMIN", "test-admin-secret")
    ca = new_ca("test store")
    leaf = issue(ca, "store", addresses=["127.0.0.1"], client=False)
    (folder / "ca.crt").write_text(ca.certificate)
    (folder / "s3.crt").write_text(leaf.certificate)
    (folder / "s3.key").write_text(leaf.key)
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": access, "secretKey": "test-admin-secret"}],
            "actions": actions,
        }
        for name, access, actions in (
            ("ccx", keys.access_key, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", "TESTREADER", ["Read:backups", "List:backups"]),
            ("stranger", "TESTSTRANGER", ["Admin:elsewhere"]),
        )
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    store = SeaweedFs(folder, free_ports(4), keys, limits=limits)
    try:
        await store.start()
        await asyncio.to_thread(_make_bucket, store)
        yield store
    finally:
        await store.kill()
        for port in range(store.port, store.port + 4):  # sockets, in a place that can't be chosen
            for number in (port, port + 10000):
                for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    left.unlink(missing_ok=True)


def _make_bucket(store: SeaweedFs) -> None:
    from ccx.storage.s3 import client

    client("s3", store.location, store.keys, "").create_bucket(Bucket="backups")
