"""How Patroni makes a cluster's first member from a backup instead of from nothing."""

from __future__ import annotations

from datetime import UTC
from pathlib import PurePosixPath
from typing import Any

from ccx.cmon.backup.base import Origin
from ccx.cmon.engines.postgres.layout import CONFIGURATION
from ccx.cmon.etcd.layout import DATA

CONFIGURED_BY = PurePosixPath("/etc/ccx/pgbackrest/restore.conf")
SCRIPT = CONFIGURATION / "restore"
_STATE = DATA / "pgbackrest" / "restore"

# Once: what was restored and did not come up would not come up the next time either, and each time leaves a copy.
# Within that, a try goes on where the one before broke off: --delta keeps the files that are right already.
_SCRIPT = """#!/bin/sh
# Patroni calls this to make the cluster's first member from a backup.
if [ -e {state} ]; then
    echo failed >{state}
    exit 1
fi
mkdir -p -m 0700 {data}
for pause in 0 10 30 60; do
    sleep $pause
    if pgbackrest --config={config} --stanza={stanza} --set={backup} --type=none --delta restore; then
        # The one of the datastore that was backed up: it must not be taken for this one's.
        rm -f {data}/patroni.dynamic.json
        echo restored >{state}
        exit 0
    fi
done
echo failed >{state}
exit 1
"""


def script(origin: Origin, data: PurePosixPath) -> str:
    """The text of :data:`SCRIPT`. It may take hours, and tells how it went in a file beside the data."""
    return _SCRIPT.format(state=_STATE, config=CONFIGURED_BY, stanza=origin.name, backup=origin.backup, data=data)


def bootstrap(origin: Origin) -> dict[str, Any]:
    """The part of Patroni's ``bootstrap`` that has it call the script, and then recover as far as it shall."""
    command = f'pgbackrest --config={CONFIGURED_BY} --stanza={origin.name} archive-get %f "%p"'
    return {
        "method": "restore",
        "restore": {
            "command": str(SCRIPT),
            "no_params": True,
            "recovery_conf": {"restore_command": command, "recovery_target_timeline": "latest", **_target(origin)},
        },
    }


def _target(origin: Origin) -> dict[str, str]:
    if origin.point:
        return {"recovery_target_name": origin.point, "recovery_target_action": "promote"}
    if origin.at_once:
        return {"recovery_target": "immediate", "recovery_target_action": "promote"}
    if origin.to is not None:
        at = origin.to.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        return {"recovery_target_time": at, "recovery_target_action": "promote"}
    return {}
