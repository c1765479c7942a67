"""Where a node's data come from when they are not its own: the leader; and what becomes of those that are given up."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

BEHIND = "behind"
"""What the mark says of data that are given up and hold nothing that the leader's have not."""
_ASK_S = 1.0
_KEPT = 3
"""Files of what only this node had."""
_SHOWN = 256 * 2**20
"""Bytes of its newest logs that are looked through for that, and two at least: with each start begins another."""


def leader(told: dict[str, Any]) -> tuple[str, str]:
    """Label and address of who leads now. SystemExit where that is nobody, or we: it is tried again."""
    from ccx_agent.keeper_etcd import Etcd
    from ccx_agent.keeper_web import client_context

    entries = Etcd.of(told, client_context(told["tls"]), _ASK_S).everything(f"/ccx/{told['scope']}/")
    if "leader" not in entries or entries["leader"].value == told["label"]:
        time.sleep(_ASK_S)
        raise SystemExit("nobody leads whose data could be copied")
    label = entries["leader"].value
    return label, json.loads(entries["nodes"].value)[label]


def give_up(told: dict[str, Any], show: list[str]) -> None:
    """Removes the node's own data and logs, once a copy of the leader's is here.

    What this node has and the leader's history has not is kept, for a person, who may want to see what it was.
    ``show``: the command that writes as text what its logs, the last arguments, hold.
    """
    data, binlogs, mark = (Path(told[what]) for what in ("data", "binlogs", "rebuild_file"))
    behind = mark.exists() and mark.read_text() == BEHIND
    if data.exists() and not behind:
        errant = Path(told["errant"])
        errant.mkdir(exist_ok=True)
        if logs := _newest(binlogs):
            with (errant / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.sql").open("w") as kept:
                subprocess.run([*show, *map(str, logs)], stdout=kept, check=False, cwd="/")
        for old in sorted(errant.glob("*.sql"))[:-_KEPT]:
            old.unlink()
    shutil.rmtree(data, ignore_errors=True)
    clear(binlogs)


def _newest(binlogs: Path) -> list[Path]:
    """Oldest first."""
    found: list[Path] = []
    for log in sorted(binlogs.glob("binlog.*[0-9]"), reverse=True):
        if len(found) >= 2 and sum(path.stat().st_size for path in (log, *found)) > _SHOWN:
            break
        found.insert(0, log)
    return found


def clear(logs: Path) -> None:
    """Removes a server's logs, whichever it keeps there."""
    for leftover in logs.iterdir():
        # MariaDB 11.7 and later keep a folder among their logs.
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
