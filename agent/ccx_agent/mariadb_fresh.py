"""Where a server's first data come from: nothing, another cluster's backup, or a server that runs.

What is said here of backups holds for MySQL and Percona Server too; the rest is MariaDB's.
"""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

_ORIGIN = Path("/etc/ccx/mariadb-backup/restore.json")
IMAGE = Path("/usr/lib/ccx-first/mariadb")
"""An empty server's data in a baked image; beside it is said which server made them."""
_COPY_S = 60.0
"""Seconds for the next piece of a copy."""
_PIECE = 1 << 20


class NoCopy(Exception):
    """Why there is none."""


class Busy(NoCopy):
    """It gives another node a copy."""


def origin() -> dict[str, Any]:
    """The backup that a new cluster's data come from; empty: from none."""
    try:
        found: dict[str, Any] = json.loads(_ORIGIN.read_text() or "{}")
    except FileNotFoundError:
        return {}
    return found


def make(fresh: Path) -> None:
    """The data of a new cluster's first node, in ``fresh``, which is not there yet."""
    if found := origin():
        restored(found, fresh)
    else:
        initialise(fresh)


def restored(told: dict[str, Any], fresh: Path) -> None:
    """Out of a backup. Once: what did not come up would not come up the next time either.

    It says how far it is, and why it failed.
    """
    from ccx_agent import notes
    from ccx_agent.mariadb_restore import restore

    state = Path(told["work"]) / "restore-state"

    def tell(what: str, done: int, **more: str) -> None:
        notes.write(state, {"state": "restoring", "done": done, "note": what, **more})

    if (notes.read(state) or {}).get("state") == "failed":
        raise SystemExit("the restore failed before")
    tell("copying the backup", 0)
    try:
        restore(told, fresh, tell)
        # What is written to it from now on is on the disk at each commit, and it would lie on data that are not.
        subprocess.run(["sync", "--file-system", str(fresh)], check=True, capture_output=True, cwd="/")
    except Exception as error:
        # Whatever it is: not told, it would be tried over and over, and whoever waits for it would see it go on.
        why = str(error)[:500] or type(error).__name__
        shutil.rmtree(fresh, ignore_errors=True)  # it may have filled the volume, which then takes no word either
        tell("", 0, state="failed", err=why)
        raise SystemExit(why) from error
    tell("restored", 0, state="restored")


def initialise(fresh: Path, image: Path = IMAGE) -> None:
    """An empty server's data: a copy of those in the image, if this server made them; they take seconds to make."""
    if _of_this_server(image.with_name(f"{image.name}.version")):
        subprocess.run(["cp", "-a", "--sparse=always", "--reflink=auto", image, fresh], check=True)
        return
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={fresh}", "--skip-test-db", "--skip-name-resolve",
         "--auth-root-authentication-method=socket", "--auth-root-socket-user=mysql", "--skip-log-bin"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip


def _of_this_server(note: Path) -> bool:
    """Data of another release would have to be upgraded first."""
    if not note.exists():
        return False
    asked = subprocess.run(["mariadbd", "--version"], check=True, capture_output=True, text=True, cwd="/")
    return asked.stdout == note.read_text()


def copy(where: tuple[str, int], context: ssl.SSLContext, fresh: Path, progress: Path) -> None:
    """The data of the server whose keeper answers there, as they are when the copy ends, in the folder ``fresh``.

    ``progress``: the file that says how many bytes came. Raises NoCopy, or what came in between.
    """
    address, port = where
    connection = http.client.HTTPSConnection(address, port, timeout=_COPY_S, context=context)
    connection.request("POST", "/copy", "{}")
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise (Busy if answer.status == http.client.CONFLICT else NoCopy)(f"{answer.status} {answer.read(300)!r}")
    done = 0
    with subprocess.Popen(["mbstream", "-x", "-C", str(fresh)], stdin=subprocess.PIPE) as unpacking:
        assert unpacking.stdin is not None
        while piece := answer.read(_PIECE):
            unpacking.stdin.write(piece)
            done += len(piece)
            progress.write_text(str(done))
    if unpacking.returncode:
        raise NoCopy(f"unpacking it failed with {unpacking.returncode}")
    subprocess.run(
        ["mariadb-backup", "--prepare", f"--target-dir={fresh}"], check=True, stderr=subprocess.DEVNULL, cwd="/"
    )


def noted(data: Path, what: str) -> str:
    """What the copy that the data are says of itself: ``binlog``, ``galera``. Empty: nothing."""
    names = (data / f"mariadb_backup_{what}_info", data / f"xtrabackup_{what}_info")
    return next((path.read_text().strip() for path in names if path.exists()), "")


def last_transaction(data: Path) -> str:
    """That the copy has, by the log of the server that it was made of: ``0-10001-57``; of several domains, a list."""
    position = noted(data, "binlog").split("\t")
    return position[2] if len(position) > 2 else ""
