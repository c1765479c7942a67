"""The tenant's users and databases. Changes may be repeated; passwords arrive as hashes, never in clear.

Tenants get privileges by database alone. None that is global changes anything: with those, somebody could write where
the server is read-only, or to the tables that say who may do what.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import AgentError
from .mysql_wire import Connection, Row, ServerRefused, ServerSilent, name, quoted
from .verb import Args, Progress, Verb, flag, text

LIMIT = 25.0
"""Seconds for an answer. A change waits for a replica."""
SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")

_GRANTS = "select user as user, db as db from mysql.db order by user, db"
_DATABASES = f"""select s.schema_name as name, count(t.table_name) as tables,
 coalesce(sum(t.data_length + t.index_length), 0) as size
 from information_schema.schemata s left join information_schema.tables t
 on t.table_schema = s.schema_name and t.table_type = 'BASE TABLE'
 where s.schema_name not in ({", ".join(map(quoted, SYSTEM))}) group by s.schema_name order by s.schema_name"""  # noqa: S608


class Server:
    """The server on this node, as root, for one verb."""

    def __init__(self, of: Tenants) -> None:
        self._of = of
        try:
            self._connection = Connection(of.socket, "root", LIMIT)
        except (ServerSilent, ServerRefused) as error:
            raise AgentError(str(error), f"see the journal of {of.unit}") from None

    def ask(self, statement: str) -> list[Row]:
        try:
            return self._connection.query(statement)
        except ServerSilent:
            raise AgentError(f"{self._of.name} does not answer: a write waits for a replica", "try again") from None
        except ServerRefused as error:
            # An error may quote the statement.
            raise AgentError(f"{self._of.name}: {self._of.hash.sub('…', str(error))[:500]}") from None


@dataclass(frozen=True)
class Tenants:
    """The verbs for one server of the family."""

    name: str
    """For people."""
    unit: str
    socket: str
    users: str
    """Asks for ``name``, ``host`` and ``plugin`` of the tenant's users."""
    known_by: str
    """How a user is made known with a hash, which stands for ``{}``."""
    hash: re.Pattern[str]
    plugin: str
    watching: str
    """What an administrator may see of the server; nothing of it changes anything."""

    def verbs(self, prefix: str) -> dict[str, Verb]:
        return {
            f"{prefix}-users": Verb(self._users, mutates=False),
            f"{prefix}-user-put": Verb(self._user_put, mutates=True),
            f"{prefix}-user-drop": Verb(self._user_drop, mutates=True),
            f"{prefix}-databases": Verb(self._databases, mutates=False),
            f"{prefix}-database-put": Verb(self._database_put, mutates=True),
            f"{prefix}-database-drop": Verb(self._database_drop, mutates=True),
        }

    def _found(self, server: Server) -> list[dict[str, Any]]:
        granted: dict[str, list[str]] = {}
        for row in server.ask(_GRANTS):
            granted.setdefault(row["user"], []).append(row["db"].replace("\\_", "_").replace("\\%", "%"))
        return [
            {**row, "grants": ", ".join(f"ALL ON {database}" for database in granted.get(row["name"], []))}
            for row in server.ask(self.users)
        ]

    def _users(self, _args: Args, _progress: Progress) -> dict[str, object]:
        return {"users": self._found(Server(self))}

    def _user_put(self, args: Args, _progress: Progress) -> dict[str, object]:
        """Makes the user, or sets its password. ``hash``: of it; ``database``: one to use in full.

        With ``admin``, all databases that there are, with the right to let others in.
        """
        user, hashed, database = text(args, "name"), text(args, "hash"), text(args, "database", "")
        if not self.hash.fullmatch(hashed):
            raise AgentError(f"the hash is none of {self.plugin}")
        server = Server(self)
        known = self.known_by.format(quoted(hashed))
        server.ask(f"create user if not exists {_who(user)} {known} require ssl")
        server.ask(f"alter user {_who(user)} {known} require ssl")
        if flag(args, "admin"):
            server.ask(f"grant {self.watching} on *.* to {_who(user)}")
            for entry in server.ask(_DATABASES):
                server.ask(f"grant all privileges on {_pattern(entry['name'])}.* to {_who(user)} with grant option")
        if database:
            server.ask(f"grant all privileges on {_pattern(database)}.* to {_who(user)}")
        return {"user": next(entry for entry in self._found(server) if entry["name"] == user)}

    def _user_drop(self, args: Args, _progress: Progress) -> dict[str, object]:
        """Removes the user, and ends its sessions. What it made stays: it belongs to the database."""
        user, server = text(args, "name"), Server(self)
        server.ask(f"drop user if exists {_who(user)}")
        for row in server.ask(f"select id as id from information_schema.processlist where user = {quoted(user)}"):  # noqa: S608
            try:
                server.ask(f"kill connection {int(row['id'])}")
            except AgentError:
                continue  # it ended by itself
        return {}

    def _databases(self, _args: Args, _progress: Progress) -> dict[str, object]:
        return {"databases": [_database(row) for row in Server(self).ask(_DATABASES)]}

    def _database_put(self, args: Args, _progress: Progress) -> dict[str, object]:
        """Makes the database; ``owner`` may do everything in it, and let others in."""
        database, owner, server = text(args, "name"), text(args, "owner"), Server(self)
        server.ask(f"create database if not exists {name(database)} character set utf8mb4")
        server.ask(f"grant all privileges on {_pattern(database)}.* to {_who(owner)} with grant option")
        return {"database": next(_database(row) for row in server.ask(_DATABASES) if row["name"] == database)}

    def _database_drop(self, args: Args, _progress: Progress) -> dict[str, object]:
        """Removes the database and what was granted on it; an absent one is fine."""
        database, server = text(args, "name"), Server(self)
        server.ask(f"drop database if exists {name(database)}")
        of_it = f"select user as user, host as host from mysql.db where db = {quoted(_escaped(database))}"  # noqa: S608
        for row in server.ask(of_it):
            who = f"{quoted(row['user'])}@{quoted(row['host'])}"
            for what in ("grant option", "all privileges"):
                server.ask(f"revoke {what} on {_pattern(database)}.* from {who}")
        return {}


def _escaped(database: str) -> str:
    """A database as GRANT keeps it, where ``_`` and ``%`` would stand for others too."""
    return database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def _pattern(database: str) -> str:
    return name(_escaped(database))


def _who(user: str) -> str:
    return f"{quoted(user)}@'%'"


def _database(row: Row) -> dict[str, object]:
    return {"name": row["name"], "size": int(row["size"]), "tables": int(row["tables"])}
