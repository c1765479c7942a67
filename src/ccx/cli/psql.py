"""Running psql: the password goes through a private file that is gone when psql ends."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ccx.cli import connection, resolve
from ccx.cli.exits import Exit
from ccx.cli.options import Common
from ccx.errors import CcxError


def parameters(common: Common, datastore: str, role: connection.Role) -> dict[str, str]:
    """libpq's parameters for a datastore; its CA is stored on the way."""
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        reached = connection.Connection.of(api.get(f"/deployment/v2/data-stores/{uuid}/connection"))
    return reached.parameters(role, reached.keep_ca(uuid))


def run(parameters: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Runs psql to its end; 0, or 1 when psql failed."""
    public = {key: value for key, value in parameters.items() if key != "password"}
    with tempfile.TemporaryDirectory(prefix="ccx-") as folder:
        passfile = Path(folder) / "pgpass"
        passfile.touch(mode=0o600)
        passfile.write_text(connection.passfile_line(parameters))
        environ = {**os.environ, **connection.environment(public), "PGPASSFILE": str(passfile)}
        environ.pop("PGPASSWORD", None)
        environ.pop("PGSERVICE", None)
        # Ctrl-C cancels psql's query; it must not end us and take the password file away.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            ended = subprocess.run(
                ["psql", *arguments], env=environ, check=False,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        except FileNotFoundError:
            raise CcxError(
                "psql is not installed",
                status=500,
                remedy="Install PostgreSQL's client: apt-get install postgresql-client",
            ) from None
        finally:
            signal.signal(signal.SIGINT, previous)
    return Exit.OK if ended.returncode == 0 else Exit.FAILED
