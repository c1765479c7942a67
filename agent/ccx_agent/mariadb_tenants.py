"""MariaDB on this node, as root; its users and databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import AgentError
from .mysql_tenants import Tenants
from .mysql_wire import Connection, ServerRefused, ServerSilent, quoted

SOCKET = "/run/ccx-mariadb/mysqld.sock"

_OURS = ("root", "mysql", "mariadb.sys", "PUBLIC", "")


@contextmanager
def server(limit: float) -> Iterator[Connection]:
    """A connection; ``limit``: seconds for each answer. What it refuses, and silence, end in an AgentError."""
    try:
        with Connection(SOCKET, "root", limit) as connection:
            yield connection
    except (ServerSilent, ServerRefused) as error:
        raise AgentError(str(error), "see the journal of ccx-mariadb") from None


VERBS = Tenants(
    name="MariaDB",
    unit="ccx-mariadb",
    socket=SOCKET,
    users=f"""select user as name, host as host, json_value(priv, '$.plugin') as plugin from mysql.global_priv
 where user not in ({", ".join(map(quoted, _OURS))}) and left(user, 4) <> 'ccx_'
 and json_value(priv, '$.is_role') is null order by user""",  # noqa: S608 - names of ours
    known_by="identified via mysql_native_password using {}",
    hash=re.compile(r"\*[0-9A-F]{40}"),
    plugin="mysql_native_password",
    watching="process, show databases, slave monitor, binlog monitor",
).verbs("mariadb")
