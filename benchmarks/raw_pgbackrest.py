"""pgBackRest by hand on a datastore's node: what ``benchmarks/backup.py`` compares with.

All of it runs as a unit of the node's own systemd: by the same limits of CPU and memory as what CCX starts there.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from installation import run

CONFIGURATION = "/etc/ccx/pgbackrest/pgbackrest.conf"
_COPIED = {CONFIGURATION: "/etc/ccx/pgbackrest/raw.conf", "/etc/ccx/pgbackrest/ca.crt": "/etc/ccx/pgbackrest/ca.crt"}
_PROCESSES = b"process-max=2"
"""As many as CCX restores with on such a machine, where nothing else runs yet."""
_DATA = "/var/lib/ccx-data/postgresql/17"
_WORK = "/var/lib/ccx-data/pgbackrest"
_PG_CTL = f"/usr/lib/postgresql/17/bin/pg_ctl -s -D {_DATA}"
_OPTIONS = (
    "-c listen_addresses='' -c archive_mode=off -c unix_socket_directories=/run/postgresql -c hba_file=/tmp/hba"
    " -c ssl=off"
)


@dataclass(frozen=True)
class Node:
    init: int
    """The pid of its init, as this machine sees it."""

    async def do(self, command: str, user: str = "postgres") -> str:
        """Runs a shell's command there; its output."""
        unit = ("systemd-run", "--quiet", "--collect", "--wait", "--pipe", f"--uid={user}")
        return (await run("nsenter", "-t", str(self.init), "-a", *unit, "sh", "-euc", command)).stdout

    def file(self, path: str) -> Path:
        """A file of the node, as this machine can open it."""
        return Path(f"/proc/{self.init}/root{path}")


async def back_up(node: Node, stanza: str, kind: str) -> None:
    await node.do(f"pgbackrest --config={CONFIGURATION} --stanza={stanza} --type={kind} backup")


async def empty(node: Node, source: Node) -> None:
    """Leaves nothing of the node's database, and gives it the way to the backups of the ``source``."""
    stop = "systemctl stop ccx-patroni ccx-etcd"
    folders = f"install -d -o postgres -m 0700 {_DATA} /etc/ccx/pgbackrest {_WORK}"
    await node.do(f"{stop}; rm -rf {_DATA}; {folders}", "root")
    for theirs, here in _COPIED.items():
        found, place = source.file(theirs), node.file(here)
        place.touch(0o600)
        os.chown(place, found.stat().st_uid, found.stat().st_gid)
        place.chmod(found.stat().st_mode & 0o777)
        place.write_bytes(re.sub(rb"(?m)^process-max=\d+$", _PROCESSES, found.read_bytes()))


async def copy(node: Node, stanza: str, to: datetime | None) -> None:
    """A restore's first half. ``to``: then it shall recover to that time; else as far as the log goes."""
    target = f"--type=time --target='{to:%Y-%m-%d %H:%M:%S.%f}+00' --target-action=promote" if to else ""
    await node.do(f"pgbackrest --config={_COPIED[CONFIGURATION]} --stanza={stanza} {target} restore")


async def recover(node: Node) -> None:
    """Its second half: until PostgreSQL takes writes."""
    options = f"-w -t 3600 -l /tmp/raw.log -o {shlex.quote(_OPTIONS)}"
    start = f"echo 'local all postgres peer' >/tmp/hba; {_PG_CTL} {options} start"
    writable = (
        "until psql -h /run/postgresql -Atqc 'select pg_is_in_recovery()' postgres | grep -q f; do sleep 0.1; done"
    )
    # What the shell starts ends with its unit; the server shall not.
    fork = ("systemd-run", "--quiet", "--collect", "--unit=raw-postgres", "--uid=postgres", "-p", "Type=forking")
    await node.do(f"{shlex.join(fork)} sh -euc {shlex.quote(start)}", "root")
    await node.do(writable)


async def rows(node: Node, database: str, table: str) -> int:
    return int(await node.do(f"psql -h /run/postgresql -Atqc 'select count(*) from {table}' {database}"))
