"""The tenant's users and databases. Changes may be repeated; passwords arrive as hashes, never in clear.

Tenants get privileges by database alone. None that is global changes anything: with those, somebody could write where
the server is read-only, or to the tables that say who may do what.
"""

from __future__ import annotations

import re
from typing import Any

from .errors import AgentError
from .mysql_wire import Connection, Row, ServerRefused, ServerSilent, name, quoted
from .verb import Args, Progress, Verb, flag, text

SOCKET = "/run/ccx-mariadb/mysqld.sock"
LIMIT = 25.0
"""Seconds for an answer. A change waits for a replica."""

SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
OURS = ("root", "mysql", "mariadb.sys", "PUBLIC", "")
WATCHING = "process, show databases, slave monitor, binlog monitor"
"""What an administrator may see of the server; nothing of it changes anything."""

_USERS = f"""select user, host, json_value(priv, '$.plugin') as plugin, json_value(priv, '$.is_role') as role
 from mysql.global_priv where user not in ({", ".join(map(quoted, OURS))})
 and left(user, 4) <> 'ccx_' order by user"""  # noqa: S608 - names of ours
_GRANTS = "select user, db from mysql.db order by user, db"
_DATABASES = f"""select s.schema_name as name, count(t.table_name) as tables,
 coalesce(sum(t.data_length + t.index_length), 0) as size
 from information_schema.schemata s left join information_schema.tables t
 on t.table_schema = s.schema_name and t.table_type = 'BASE TABLE'
 where s.schema_name not in ({", ".join(map(quoted, SYSTEM))}) group by s.schema_name order by s.schema_name"""  # noqa: S608
_HASH = re.compile(r"\*[0-9A-F]{40}")


class Server:
    """MariaDB on this node, as root, for one verb."""

    def __init__(self) -> None:
        try:
            self._connection = Connection(SOCKET, "root", LIMIT)
        except (ServerSilent, ServerRefused) as error:
            raise AgentError(str(error), "see the journal of ccx-mariadb") from None

    def ask(self, statement: str) -> list[Row]:
        try:
            return self._connection.query(statement)
        except ServerSilent:
            raise AgentError("MariaDB does not answer: a write waits for a replica", "try again") from None
        except ServerRefused as error:
            raise AgentError(f"MariaDB: {_without_hash(str(error))}") from None


def _without_hash(words: str) -> str:
    """An error may quote the statement."""
    return _HASH.sub("*…", words)[:500]


def _escaped(database: str) -> str:
    """A database as GRANT keeps it, where ``_`` and ``%`` would stand for others too."""
    return database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def _pattern(database: str) -> str:
    return name(_escaped(database))


def _who(user: str) -> str:
    return f"{quoted(user)}@'%'"


def _found(server: Server) -> list[dict[str, Any]]:
    granted: dict[str, list[str]] = {}
    for row in server.ask(_GRANTS):
        granted.setdefault(row["user"], []).append(row["db"].replace("\\_", "_").replace("\\%", "%"))
    return [
        {
            "name": row["user"],
            "host": row["host"],
            "plugin": row["plugin"],
            "grants": ", ".join(f"ALL ON {database}" for database in granted.get(row["user"], [])),
        }
        for row in server.ask(_USERS)
        if not row["role"]
    ]


def users(_args: Args, _progress: Progress) -> dict[str, object]:
    return {"users": _found(Server())}


def user_put(args: Args, _progress: Progress) -> dict[str, object]:
    """Makes the user, or sets its password. ``hash``: of ``mysql_native_password``; ``database``: one to use in full.

    With ``admin``, all databases that there are, with the right to let others in.
    """
    user, hashed, database = text(args, "name"), text(args, "hash"), text(args, "database", "")
    if not _HASH.fullmatch(hashed):
        raise AgentError("the hash is none of mysql_native_password")
    server = Server()
    known = f"identified via mysql_native_password using {quoted(hashed)} require ssl"
    server.ask(f"create user if not exists {_who(user)} {known}")
    server.ask(f"alter user {_who(user)} {known}")
    if flag(args, "admin"):
        server.ask(f"grant {WATCHING} on *.* to {_who(user)}")
        for entry in server.ask(_DATABASES):
            server.ask(f"grant all privileges on {_pattern(entry['name'])}.* to {_who(user)} with grant option")
    if database:
        server.ask(f"grant all privileges on {_pattern(database)}.* to {_who(user)}")
    return {"user": next(entry for entry in _found(server) if entry["name"] == user)}


def user_drop(args: Args, _progress: Progress) -> dict[str, object]:
    """Removes the user, and ends its sessions. What it made stays: it belongs to the database."""
    user, server = text(args, "name"), Server()
    server.ask(f"drop user if exists {_who(user)}")
    for row in server.ask(f"select id from information_schema.processlist where user = {quoted(user)}"):  # noqa: S608
        try:
            server.ask(f"kill connection {int(row['id'])}")
        except AgentError:
            continue  # it ended by itself
    return {}


def databases(_args: Args, _progress: Progress) -> dict[str, object]:
    return {"databases": [_database(row) for row in Server().ask(_DATABASES)]}


def _database(row: Row) -> dict[str, object]:
    return {"name": row["name"], "size": int(row["size"]), "tables": int(row["tables"])}


def database_put(args: Args, _progress: Progress) -> dict[str, object]:
    """Makes the database; ``owner`` may do everything in it, and let others in."""
    database, owner, server = text(args, "name"), text(args, "owner"), Server()
    server.ask(f"create database if not exists {name(database)} character set utf8mb4")
    server.ask(f"grant all privileges on {_pattern(database)}.* to {_who(owner)} with grant option")
    return {"database": next(_database(row) for row in server.ask(_DATABASES) if row["name"] == database)}


def database_drop(args: Args, _progress: Progress) -> dict[str, object]:
    """Removes the database and what was granted on it; an absent one is fine."""
    database, server = text(args, "name"), Server()
    server.ask(f"drop database if exists {name(database)}")
    for row in server.ask(f"select user, host from mysql.db where db = {quoted(_escaped(database))}"):  # noqa: S608
        who = f"{quoted(row['user'])}@{quoted(row['host'])}"
        for what in ("grant option", "all privileges"):
            server.ask(f"revoke {what} on {_pattern(database)}.* from {who}")
    return {}


VERBS = {
    "mariadb-users": Verb(users, mutates=False),
    "mariadb-user-put": Verb(user_put, mutates=True),
    "mariadb-user-drop": Verb(user_drop, mutates=True),
    "mariadb-databases": Verb(databases, mutates=False),
    "mariadb-database-put": Verb(database_put, mutates=True),
    "mariadb-database-drop": Verb(database_drop, mutates=True),
}
