"""The tenant's users and databases: verbs on the primary. ``verbs`` is what the vendor's begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.spec import ClusterSpec, DatabaseInfo, DatabaseUser, NodeSpec
from ccx.errors import Invalid

Verifier = Callable[[str], str]
"""What a server keeps in place of a password."""

RESERVED_USERS = frozenset(
    {"root", "mysql", "mariadb.sys", "mysql.infoschema", "mysql.session", "mysql.sys", "mysql.pxc.internal.session",
     "mysql.pxc.sst.role", "mysql.pxc.sst.user", "public", "none", "ccx_replication", "current_user"}
)  # fmt: skip
RESERVED_DATABASES = frozenset(
    {"mysql", "sys", "information_schema", "performance_schema", "percona_schema", "ccxdb", "proxydemo", "lost+found"}
)


def check_user(name: str, longest: int) -> None:
    """Refuses names that the server or we have taken, and those that are none."""
    _check_name(name, "user", "database_username", longest)
    if name.lower() in RESERVED_USERS or name.lower().startswith("ccx_"):
        raise Invalid(f"the user name {name} is reserved", field="database_username", remedy="Choose another name")


def check_database(name: str) -> None:
    _check_name(name, "database", "database_name", 64)
    if name.lower() in RESERVED_DATABASES or name.startswith("#") or name.endswith(" "):
        raise Invalid(f"the database name {name} is reserved", field="database_name", remedy="Choose another name")


def _check_name(name: str, what: str, field: str, longest: int) -> None:
    if not 1 <= len(name) <= longest or not name.isprintable() or any(ord(c) > 0xFFFF for c in name):
        raise Invalid(
            f"a {what} name has 1 to {longest} characters, all printable", field=field,
            remedy="Choose a shorter, plain name",
        )  # fmt: skip


async def users(channel: NodeChannel, verbs: str, primary: NodeSpec) -> list[DatabaseUser]:
    found = await channel.call(primary, f"{verbs}-users")
    return [_user(entry) for entry in found["users"]]


async def put_first(
    channel: NodeChannel, verbs: str, verifier: Verifier, primary: NodeSpec, cluster: ClusterSpec, token: int
) -> None:
    """The datastore's first user and database, in one call."""
    user = {"name": cluster.admin_user, "hash": verifier(cluster.secrets.admin), "admin": True}
    database = {"name": cluster.admin_database, "owner": cluster.admin_user}
    calls = [{"verb": f"{verbs}-user-put", "args": user}, {"verb": f"{verbs}-database-put", "args": database}]
    await channel.call(primary, "sequence", {"calls": calls}, token=token)


async def put_user(
    channel: NodeChannel, verbs: str, verifier: Verifier, primary: NodeSpec, name: str, password: str,
    database: str | None, admin: bool, token: int,
) -> DatabaseUser:  # fmt: skip
    args: dict[str, Any] = {"name": name, "hash": verifier(password), "admin": admin}
    args |= {"database": database} if database else {}
    found = await channel.call(primary, f"{verbs}-user-put", args, token=token)
    return _user(found["user"])


async def drop_user(
    channel: NodeChannel, verbs: str, primary: NodeSpec, cluster: ClusterSpec, name: str, token: int
) -> None:
    if name == cluster.admin_user:
        raise Invalid(
            f"{name} is the datastore's first user",
            field="database_username",
            remedy="Change its password instead",
        )
    await channel.call(primary, f"{verbs}-user-drop", {"name": name}, token=token)


async def databases(channel: NodeChannel, verbs: str, primary: NodeSpec, cluster: ClusterSpec) -> list[DatabaseInfo]:
    found = await channel.call(primary, f"{verbs}-databases")
    return [_database(entry, cluster.admin_user) for entry in found["databases"]]


async def put_database(
    channel: NodeChannel, verbs: str, primary: NodeSpec, name: str, owner: str, token: int
) -> DatabaseInfo:
    found = await channel.call(primary, f"{verbs}-database-put", {"name": name, "owner": owner}, token=token)
    return _database(found["database"], owner)


def _user(entry: dict[str, str]) -> DatabaseUser:
    return DatabaseUser(name=entry["name"], host=entry["host"], grants=entry["grants"], auth_plugin=entry["plugin"])


def _database(entry: dict[str, Any], owner: str) -> DatabaseInfo:
    # A database of this family has no owner; who was given all of it is called so.
    return DatabaseInfo(entry["name"], owner, int(entry["size"]), int(entry["tables"]))
