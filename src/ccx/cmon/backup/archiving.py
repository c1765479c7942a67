"""How a cluster sends its log to the store."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ccx.cmon.etcd.layout import DATA
from ccx.cmon.spec import ClusterSpec

FOLDER = PurePosixPath("/etc/ccx/pgbackrest")
CONFIGURATION = f"{FOLDER}/pgbackrest.conf"
SCRIPT = FOLDER / "archive"
GIVEN_UP = DATA / "pgbackrest" / "given-up"

TIMEOUT = "50s"
"""So often a part of the log ends at least. It takes a moment to get into the store, and is to be there in 60 s."""
RESERVE = 10
"""Percent of the volume that the log may never take."""
_FEW = 8
"""Segments that wait are no reason for a full volume: then something else fills it, and giving them up helps nobody."""

_SCRIPT = r"""#!/bin/sh
# PostgreSQL calls this with a finished segment of its log. It must never stop for its archive: while the volume is
# nearly full of log that the store does not take, the log is given up from its oldest segment on, and that is noted:
# a new full backup makes up for it. What else comes (a new timeline's history) is small, and never given up.
name=${{2##*/}}
set -- "$1" "$2" $(df -Pk {data} | awk 'NR == 2 {{ print $2, $4 }}')
if [ "$(($4 * 100))" -lt "$(($3 * {reserve}))" ] && [ "${{#name}}" -eq 24 ] \
    && [ "$(ls pg_wal/archive_status | grep -c '\.ready$')" -ge {few} ]
then
    echo "$(date -u +%Y-%m-%dT%H:%M:%S+00:00) $name" >>{given_up}
    exit 0
fi
exec nice -n 5 pgbackrest --config={config} --stanza="$1" archive-push "$2"
"""


def script() -> str:
    """The text of :data:`SCRIPT`."""
    return _SCRIPT.format(data=DATA, reserve=RESERVE, few=_FEW, given_up=GIVEN_UP, config=CONFIGURATION)


def parameters(cluster: ClusterSpec) -> dict[str, str]:
    """PostgreSQL's, of which all members have the same."""
    return {"archive_command": f"{SCRIPT} {cluster.archive_name} %p", "archive_timeout": TIMEOUT}


def archiving(cluster: ClusterSpec) -> dict[str, Any]:
    """The part of Patroni's configuration that sends the log to the store."""
    return {"postgresql": {"parameters": parameters(cluster)}}
