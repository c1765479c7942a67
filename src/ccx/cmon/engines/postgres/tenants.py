"""The tenant's users and databases: verbs on the primary."""

from __future__ import annotations

import asyncio

from ccx.cmon.engines.postgres.scram import verifier
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.spec import ClusterSpec, DatabaseInfo, DatabaseUser, NodeSpec
from ccx.errors import Invalid

RESERVED_USERS = frozenset({"postgres", "ccx_replication", "ccx_rewind", "public", "none"})
RESERVED_DATABASES = frozenset({"postgres", "template0", "template1", "ccxdb", "proxydemo"})


def check_user(name: str) -> None:
    """Refuses names that PostgreSQL or we have taken, and those that are none."""
    _check_name(name, "user", "database_username")
    if name in RESERVED_USERS or name.startswith(("pg_", "ccx_")):
        raise Invalid(f"the user name {name} is reserved", field="database_username", remedy="Choose another name")


def check_database(name: str) -> None:
    _check_name(name, "database", "database_name")
    if name in RESERVED_DATABASES:
        raise Invalid(f"the database name {name} is reserved", field="database_name", remedy="Choose another name")


def _check_name(name: str, what: str, field: str) -> None:
    if not 1 <= len(name.encode()) <= 63 or not name.isprintable():
        raise Invalid(
            f"a {what} name has 1 to 63 bytes, all printable", field=field, remedy="Choose a shorter, plain name"
        )


async def users(channel: NodeChannel, primary: NodeSpec) -> list[DatabaseUser]:
    found = await channel.call(primary, "postgres-users")
    return [_user(entry) for entry in found["users"]]


async def put_first(channel: NodeChannel, primary: NodeSpec, cluster: ClusterSpec, token: int) -> None:
    """The datastore's first user and database, in one call."""
    user = await _user_args(cluster.admin_user, cluster.secrets.admin, None, True)
    database = {"name": cluster.admin_database, "owner": cluster.admin_user}
    calls = [{"verb": "postgres-user-put", "args": user}, {"verb": "postgres-database-put", "args": database}]
    await channel.call(primary, "sequence", {"calls": calls}, token=token)


async def put_user(
    channel: NodeChannel, primary: NodeSpec, name: str, password: str, database: str | None, admin: bool, token: int
) -> DatabaseUser:
    args = await _user_args(name, password, database, admin)
    found = await channel.call(primary, "postgres-user-put", args, token=token)
    return _user(found["user"])


async def _user_args(name: str, password: str, database: str | None, admin: bool) -> dict[str, str | bool]:
    # In a thread: thousands of rounds of hashing are meant to take long.
    args: dict[str, str | bool] = {"name": name, "verifier": await asyncio.to_thread(verifier, password)}
    return {**args, "admin": admin, **({"database": database} if database else {})}


async def drop_user(channel: NodeChannel, primary: NodeSpec, cluster: ClusterSpec, name: str, token: int) -> None:
    if name == cluster.admin_user:
        raise Invalid(
            f"{name} is the datastore's first user and owns what others leave behind",
            field="database_username",
            remedy="Change its password instead",
        )
    await channel.call(primary, "postgres-user-drop", {"name": name, "heir": cluster.admin_user}, token=token)


async def databases(channel: NodeChannel, primary: NodeSpec) -> list[DatabaseInfo]:
    found = await channel.call(primary, "postgres-databases")
    return [_database(entry) for entry in found["databases"]]


async def put_database(channel: NodeChannel, primary: NodeSpec, name: str, owner: str, token: int) -> DatabaseInfo:
    found = await channel.call(primary, "postgres-database-put", {"name": name, "owner": owner}, token=token)
    return _database(found["database"])


def _user(entry: dict[str, str]) -> DatabaseUser:
    return DatabaseUser(name=entry["name"], host="%", grants=entry["grants"], auth_plugin="scram-sha-256")


def _database(entry: dict[str, str]) -> DatabaseInfo:
    return DatabaseInfo(entry["name"], entry["owner"], int(entry["size"]), int(entry["tables"]))
