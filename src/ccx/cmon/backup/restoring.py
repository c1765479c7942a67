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
GET = CONFIGURATION / "restore-get"
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


# pgBackRest ends with 1 for a file that the store does not have, and with more for all that is wrong with the store or
# the file. To PostgreSQL both say that the log ends there, and it would open without the rest: only what is above 125
# ends it.
_GET = """#!/bin/sh
# PostgreSQL calls this for each file of the log that it replays: FILE TO. The file's name begins with its timeline.
timeline=$((0x$(printf %.8s "$1")))
stanza={stanza}
{tests}
for pause in 0 5 10 30 60; do
    sleep $pause
    pgbackrest --config={config} --stanza="$stanza" archive-get "$1" "$2"
    code=$?
    [ $code -gt 1 ] || exit $code
done
exit 200
"""


def script(origin: Origin, data: PurePosixPath) -> str:
    """The text of :data:`SCRIPT`. It may take hours, and tells how it went in a file beside the data."""
    return _SCRIPT.format(state=_STATE, config=CONFIGURED_BY, stanza=origin.name, backup=origin.backup, data=data)


def get_script(origin: Origin) -> str:
    """The text of :data:`GET`, which fetches one file of the log: from the branch that its timeline is of."""
    first, *later = origin.path or ((0, origin.name),)
    tests = [f'[ "$timeline" -ge {begin} ] && stanza={name}' for begin, name in later]
    return _GET.format(config=CONFIGURED_BY, stanza=first[1], tests="\n".join(tests))


def bootstrap(origin: Origin) -> dict[str, Any]:
    """The part of Patroni's ``bootstrap`` that has it call the script, and then recover as far as it shall."""
    command = f'{GET} %f "%p"'
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
    if origin.before_lsn:
        lsn = {"recovery_target_lsn": origin.before_lsn, "recovery_target_inclusive": "off"}
        return {**lsn, "recovery_target_action": "promote"}
    if origin.before_xid is not None:
        xid = {"recovery_target_xid": str(origin.before_xid), "recovery_target_inclusive": "off"}
        return {**xid, "recovery_target_action": "promote"}
    if origin.at_once:
        return {"recovery_target": "immediate", "recovery_target_action": "promote"}
    if origin.to is not None:
        at = origin.to.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        return {"recovery_target_time": at, "recovery_target_action": "promote"}
    return {}
