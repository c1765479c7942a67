"""A real PostgreSQL server of one's own, on a unix socket, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from ccx.db.postgres_binaries import installed

START_TIMEOUT_S = 30


def _user() -> pwd.struct_passwd:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam("ccx")
    except KeyError:
        return pwd.getpwnam("nobody")


def _die_with_parent() -> None:
    """A test run that is killed must not leave its server behind (PR_SET_PDEATHSIG; SIGINT: a fast shutdown)."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


@dataclass
class PostgresServer:
    """A server that tests may restart."""

    bin: Path
    home: Path
    user: pwd.struct_passwd
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(
        default_factory=lambda: {"listen_addresses": "", "fsync": "off", "max_connections": "200"}
    )

    def _as_user(self) -> dict[str, object]:
        if os.getuid() != 0:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def init(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        os.chown(self.home, self.user.pw_uid, self.user.pw_gid)
        self.home.chmod(0o755)
        subprocess.run(
            [self.bin / "initdb", "-D", self.home / "data", "-U", "ccx", "-A", "trust", "-E", "UTF8", "--no-locale",
             "--no-sync"],
            check=True, capture_output=True, cwd=self.home, **self._as_user(),
        )  # fmt: skip

    def start(self) -> None:
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.home / "data", "-k", self.home, *options],
                stdout=log, stderr=log, cwd=self.home, preexec_fn=_die_with_parent, **self._as_user(),
            )  # fmt: skip
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                return
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"PostgreSQL did not start: {(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast. SIGQUIT: as a crash."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(START_TIMEOUT_S)
            self.process = None

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(host=str(self.home), user="ccx", dbname=database, autocommit=True)

    def dsn(self, database: str) -> str:
        return f"postgresql+psycopg://ccx@/{database}?host={self.home}"


@contextlib.contextmanager
def running_server(**settings: str) -> Iterator[PostgresServer]:
    """A fresh server, stopped and removed afterwards. Settings are PostgreSQL's, beside those that tests need."""
    cache = Path("/var/lib/ccx/cache") if os.getuid() == 0 else Path.home() / ".cache" / "ccx"
    home = Path(tempfile.mkdtemp(prefix="ccx-pg-"))
    server = PostgresServer(bin=installed(cache), home=home, user=_user())
    server.settings |= settings
    server.init()
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
