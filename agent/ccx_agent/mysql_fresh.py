"""The first data of MySQL, Percona Server and XtraDB Cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LOCAL_USERS = (
    "create user mysql@localhost",
    "grant all on *.* to mysql@localhost with grant option",
    # A server that makes its data loads no plugins, and would not take the name of one.
    "update mysql.user set plugin = 'auth_socket', authentication_string = '' where user in ('root', 'mysql')",
)
"""Who is who on this machine is seen by the socket: nobody of them has a password."""


def initialise(told: dict[str, Any], fresh: Path, users: Iterable[str], options: Sequence[str] = ()) -> None:
    """An empty server's data in ``fresh``, with the ``users`` that these statements make."""
    statements = Path(told["socket"]).with_name("first.sql")
    statements.touch(mode=0o600)
    try:
        statements.write_text("".join(f"{statement};\n" for statement in users))
        subprocess.run(
            [told["server"], "--no-defaults", "--initialize-insecure", f"--datadir={fresh}", "--skip-log-bin",
             "--auto-generate-certs=OFF", "--caching-sha2-password-auto-generate-rsa-keys=OFF",
             # What does not come to its end is thrown away: on the way there nothing has to be safe.
             "--innodb-doublewrite=OFF", "--innodb-flush-log-at-trx-commit=0", "--innodb-redo-log-capacity=64M",
             f"--init-file={statements}", *options],
            check=True, cwd="/",
        )  # fmt: skip
    finally:
        statements.unlink()
