"""Before MariaDB starts: its data is made, or copied from the leader: ``python3 -I mariadb_prepare.py CONFIGURATION``.

Data that is there is left alone, unless the keeper marked it as given up: then what only this node has is kept apart.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def main(path: str) -> int:
    from ccx_agent.mariadb_fresh import make, origin

    told = json.loads(Path(path).read_text())
    data, fresh, given_up = Path(told["data"]), Path(told["data"] + ".new"), Path(told["rebuild_file"])
    if data.exists() and not given_up.exists():
        return 0
    shutil.rmtree(fresh, ignore_errors=True)
    if given_up.exists() or told["joining"] or not origin().get("first", True):
        from ccx_agent.mysql_seed import give_up

        _copy(told, fresh)
        give_up(told, ["mariadb-binlog", "--verbose"])
    else:
        make(fresh)
    fresh.rename(data)
    given_up.unlink(missing_ok=True)
    return 0


def _copy(told: dict[str, Any], fresh: Path) -> None:
    """A copy of the leader's data, as it is when the copy ends; and where in the history that is."""
    from ccx_agent.durable import replace
    from ccx_agent.keeper_web import client_context
    from ccx_agent.mariadb_fresh import NoCopy, copy, last_transaction
    from ccx_agent.mysql_seed import leader

    label, address = leader(told)
    fresh.mkdir(mode=0o700)
    try:
        copy((address, told["port"]), client_context(told["tls"]), fresh, Path(told["progress_file"]))
    except NoCopy as why:
        raise SystemExit(f"no copy of {label}: {why}") from None
    # Lost with the power it would be empty, and the copy gone on with from where its leader itself once was a replica.
    last = last_transaction(fresh).encode()
    replace(Path(told["copied_file"]), last, mode=0o600, uid=os.getuid(), gid=os.getgid())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(*sys.argv[1:]))
