"""Users and databases of Percona Server, and of MySQL."""

from __future__ import annotations

import re

from .mysql_tenants import Tenants
from .mysql_wire import quoted

_OURS = ("root", "mysql", "mysql.infoschema", "mysql.session", "mysql.sys", "")

VERBS = Tenants(
    name="Percona Server",
    unit="ccx-percona",
    socket="/run/ccx-percona/mysqld.sock",
    users=f"""select user as name, host as host, plugin as plugin from mysql.user
 where user not in ({", ".join(map(quoted, _OURS))}) and left(user, 4) <> 'ccx_' order by user""",  # noqa: S608 - ours
    known_by="identified with caching_sha2_password as {}",
    hash=re.compile(r"\$A\$005\$[./0-9A-Za-z]{63}"),
    plugin="caching_sha2_password",
    watching="process, show databases, replication client",
).verbs("percona")
