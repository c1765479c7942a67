"""mariadb-backup, zstd and rclone by hand on a datastore's node: what ``benchmarks/backup_mariadb.py`` compares with.

All of it runs as a unit of the node's own systemd: by the same limits of CPU and memory as what CCX starts there; with
the same keys, so that what is stored is encrypted too.
"""

from __future__ import annotations

import os

from raw_pgbackrest import Node

_SERVER = "/etc/ccx/mysql/my.cnf"
_FOLDER = "/etc/ccx/mariadb-backup"
_DATA = "/var/lib/ccx-data/mysql/data"
_SOCKET = "/run/ccx-mariadb/mysqld.sock"
_RCLONE = f"rclone --config={_FOLDER}/rclone.conf --ca-cert={_FOLDER}/ca.crt --s3-chunk-size=16M"
_KEPT = "store:by-hand/data.xbstream.zst"


async def sql(node: Node, statement: str) -> str:
    """What the server says to its own user."""
    said = await node.do(f'mariadb --no-defaults --socket={_SOCKET} --user=mysql -N -B -e "{statement}"', "mysql")
    return said.strip()


async def back_up(node: Node) -> None:
    copy = f"mariadb-backup --defaults-file={_SERVER} --backup --stream=xbstream --user=mysql --socket={_SOCKET}"
    await _piped(node, f"{copy} --target-dir=/tmp/by-hand 2>/dev/null | zstd -q -1 -T2 -c | {_RCLONE} rcat {_KEPT}")


async def empty(node: Node, source: Node) -> None:
    """Leaves nothing of the node's database, and gives it the way to what ``source`` has stored."""
    await node.do("systemctl stop ccx-keeper ccx-mariadb ccx-etcd", "root")
    await node.do(f"rm -rf {_DATA} /var/lib/ccx-data/mysql/binlog/*; install -d -o mysql -m 0700 {_FOLDER}", "root")
    await node.do(f"install -d -m 0700 {_DATA}", "mysql")
    for name in ("rclone.conf", "ca.crt"):
        found, place = source.file(f"{_FOLDER}/{name}"), node.file(f"{_FOLDER}/{name}")
        place.write_bytes(found.read_bytes())
        os.chown(place, found.stat().st_uid, found.stat().st_gid)


async def restore(node: Node) -> None:
    """Until the server takes writes."""
    await _piped(node, f"{_RCLONE} cat {_KEPT} | zstd -q -d -c | mbstream -x -C {_DATA}")
    await node.do(f"mariadb-backup --prepare --target-dir={_DATA} 2>/dev/null", "mysql")
    await node.do(f"sync --file-system {_DATA}", "mysql")  # neither tool does, and no write may lie on lost data
    unit = "systemd-run --quiet --collect --unit=by-hand --uid=mysql -p Type=notify -p TimeoutStartSec=infinity"
    await node.do(f"{unit} -p RuntimeDirectory=ccx-mariadb mariadbd --defaults-file={_SERVER}", "root")
    await sql(node, "set global read_only = off")


async def _piped(node: Node, command: str) -> None:
    """Fails when any of its parts does."""
    await node.do(f"bash -o pipefail -c '{command}'", "mysql")
