"""Users and databases of Percona Server, of XtraDB Cluster, and of MySQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import AgentError
from .mysql_tenants import Tenants
from .mysql_wire import Connection, ServerRefused, ServerSilent, quoted

SOCKET = "/run/ccx-percona/mysqld.sock"

_OURS = (
    "root", "mysql", "mysql.infoschema", "mysql.session", "mysql.sys", "mysql.pxc.internal.session",
    "mysql.pxc.sst.role", "mysql.pxc.sst.user", "",
)  # fmt: skip


@contextmanager
def server(limit: float) -> Iterator[Connection]:
    """A connection; ``limit``: seconds for each answer. What it refuses, and silence, end in an AgentError."""
    try:
        with Connection(SOCKET, "root", limit) as connection:
            yield connection
    except (ServerSilent, ServerRefused) as error:
        raise AgentError(str(error), "see the journal of ccx-percona") from None


VERBS = Tenants(
    name="Percona Server",
    unit="ccx-percona",
    socket=SOCKET,
    users=f"""select user as name, host as host, plugin as plugin from mysql.user
 where user not in ({", ".join(map(quoted, _OURS))}) and left(user, 4) <> 'ccx_' order by user""",  # noqa: S608 - ours
    known_by="identified with caching_sha2_password as {}",
    hash=re.compile(r"\$A\$005\$[./0-9A-Za-z]{63}"),
    plugin="caching_sha2_password",
    watching="process, show databases, replication client",
).verbs("percona")
