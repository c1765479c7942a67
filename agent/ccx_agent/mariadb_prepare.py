"""Before MariaDB starts: its data is made, or copied from the leader: ``python3 -I mariadb_prepare.py CONFIGURATION``.

Data that is there is left alone, unless the keeper marked it as given up: then what only this node has is kept apart.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_ORIGIN = Path("/etc/ccx/mariadb-backup/restore.json")
_ASK_S = 1.0
_COPY_S = 60.0
"""Seconds for the next piece of a copy."""
_PIECE = 1 << 20
_KEPT = 3
"""Files of what only this node had."""


def main(path: str) -> int:
    told = json.loads(Path(path).read_text())
    data, fresh, given_up = Path(told["data"]), Path(told["data"] + ".new"), Path(told["rebuild_file"])
    if data.exists() and not given_up.exists():
        return 0
    shutil.rmtree(fresh, ignore_errors=True)
    origin = _origin()
    if given_up.exists() or told["joining"] or not origin.get("first", True):
        _copy(told, fresh)
        if data.exists():
            _keep_errant(told)
            shutil.rmtree(data)
        for leftover in Path(told["binlogs"]).glob("*"):
            leftover.unlink()
    elif origin:
        _restore(origin, fresh)
    else:
        _initialise(fresh)
    fresh.rename(data)
    given_up.unlink(missing_ok=True)
    return 0


def _origin() -> dict[str, Any]:
    """What a new cluster's data come from, where that is not nothing."""
    try:
        found: dict[str, Any] = json.loads(_ORIGIN.read_text() or "{}")
    except FileNotFoundError:
        return {}
    return found


def _restore(origin: dict[str, Any], fresh: Path) -> None:
    """Once: what did not come up would not come up the next time either. It says how far it is, and why it failed."""
    from ccx_agent.mariadb_restore import NoRestore, restore
    from ccx_agent.mariadb_store import StoreFailed

    state = Path(origin["work"]) / "restore-state"

    def tell(what: str, done: int, **more: str) -> None:
        new = state.with_suffix(".new")
        new.write_text(json.dumps({"state": "restoring", "done": done, "note": what, **more}))
        new.rename(state)

    if state.exists() and json.loads(state.read_text())["state"] == "failed":
        raise SystemExit("the restore failed before")
    tell("copying the backup", 0)
    try:
        restore(origin, fresh, tell)
    except (NoRestore, StoreFailed, OSError) as error:
        tell("", 0, state="failed", err=str(error)[:500])
        raise SystemExit(str(error)) from None
    tell("restored", 0, state="restored")


def _initialise(fresh: Path) -> None:
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={fresh}", "--skip-test-db", "--skip-name-resolve",
         "--auth-root-authentication-method=socket", "--auth-root-socket-user=mysql", "--skip-log-bin"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip


def _copy(told: dict[str, Any], fresh: Path) -> None:
    """A copy of the leader's data, as it is when the copy ends; and where in the history that is."""
    from ccx_agent.keeper_etcd import Etcd
    from ccx_agent.keeper_web import client_context

    context = client_context(told["tls"])
    entries = Etcd(list(told["etcd"]), context, _ASK_S).everything(f"/ccx/{told['scope']}/")
    if "leader" not in entries or entries["leader"].value == told["label"]:
        time.sleep(_ASK_S)
        raise SystemExit("nobody leads whose data could be copied")
    address = json.loads(entries["nodes"].value)[entries["leader"].value]
    fresh.mkdir(mode=0o700)
    connection = http.client.HTTPSConnection(address, told["port"], timeout=_COPY_S, context=context)
    connection.request("POST", "/copy", "{}")
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise SystemExit(f"{entries['leader'].value} gives no copy: {answer.status} {answer.read(300)!r}")
    done, progress = 0, Path(told["progress_file"])
    with subprocess.Popen(["mbstream", "-x", "-C", str(fresh)], stdin=subprocess.PIPE) as unpacking:
        assert unpacking.stdin is not None
        while piece := answer.read(_PIECE):
            unpacking.stdin.write(piece)
            done += len(piece)
            progress.write_text(str(done))
    if unpacking.returncode:
        raise SystemExit(f"unpacking the copy failed with {unpacking.returncode}")
    subprocess.run(
        ["mariadb-backup", "--prepare", f"--target-dir={fresh}"], check=True, stderr=subprocess.DEVNULL, cwd="/"
    )
    notes = next(p for p in (fresh / "mariadb_backup_binlog_info", fresh / "xtrabackup_binlog_info") if p.exists())
    position = notes.read_text().strip().split("\t")
    Path(told["copied_file"]).write_text(position[2] if len(position) > 2 else "")


def _keep_errant(told: dict[str, Any]) -> None:
    """What this node has and the leader's history has not: for a person, who may want to see what it was."""
    errant = Path(told["errant"])
    errant.mkdir(exist_ok=True)
    logs = sorted(str(path) for path in Path(told["binlogs"]).glob("binlog.*[0-9]"))
    if logs:
        with (errant / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.sql").open("w") as kept:
            subprocess.run(["mariadb-binlog", "--verbose", *logs[-2:]], stdout=kept, check=False, cwd="/")
    for old in sorted(errant.glob("*.sql"))[:-_KEPT]:
        old.unlink()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(*sys.argv[1:]))
