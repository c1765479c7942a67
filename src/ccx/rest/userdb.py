"""Database users and databases, on the datastore's nodes. No transaction is held while a node is talked to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon.engines.base import Engine
from ccx.cmon.spec import ClusterSpec, DatabaseInfo, DatabaseUser
from ccx.errors import Invalid, NotFound
from ccx.rest import names
from ccx.rest.deps import Context, OwnedDatastore, Transaction, check_serves
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import AnyText, Body, Done, Text
from ccx.runner.services import Services
from ccx.runner.subject import Subject
from ccx.stores.models import Datastore

router = make_router(OwnerRoute, "/api/userdb/api/v1", "database users")


class UserView(BaseModel):
    user_name: str
    grants: str
    host_allow: str
    auth_plugin: str

    @classmethod
    def of(cls, user: DatabaseUser) -> UserView:
        return cls(user_name=user.name, grants=user.grants, host_allow=user.host, auth_plugin=user.auth_plugin)


class DatabaseView(BaseModel):
    database_name: AnyText
    database_owner: str
    database_size: int
    """Bytes."""
    number_of_tables: int
    status: str = "created"

    @classmethod
    def of(cls, database: DatabaseInfo) -> DatabaseView:
        return cls(
            database_name=database.name,
            database_owner=database.owner,
            database_size=database.size,
            number_of_tables=database.tables,
        )


class NewUser(Body):
    database_username: AnyText
    database_password: Annotated[AnyText, Field(min_length=8, max_length=256, json_schema_extra={"format": "password"})]
    database_name: AnyText | None = None
    """A database that the user may use; it owns what it makes there."""
    database_privileges: Text | None = None
    database_host: Text | None = None
    create_admin_user: bool = False


class FormerUser(Body):
    database_username: AnyText
    database_host: Text | None = None


class DatabaseName(Body):
    database_name: AnyText


@router.get("/users/{datastore_id}")
async def list_users(datastore: OwnedDatastore, tx: Transaction, services: Context) -> list[UserView]:
    """The database users that people made, and the first one."""
    target = await _reach(tx, services, datastore)
    return [UserView.of(user) for user in await target.engine.users(services.channel, target.cluster)]


@router.post("/user/{datastore_id}", status_code=201)
async def put_user(datastore: OwnedDatastore, user: NewUser, tx: Transaction, services: Context) -> UserView:
    """Makes a database user; one that exists gets this password. It is stored nowhere but in the database itself."""
    engine = services.engine(datastore.vendor, datastore.cluster_type)
    _check_user(datastore, engine, user.database_username)
    if user.database_name:
        _check_database(engine, user.database_name)
    _check_password(user.database_password)
    _refuse_host(user.database_host)
    _refuse_privileges(user.database_privileges)
    target = await _reach(tx, services, datastore)
    if user.database_name:
        await _check_there(services, target, user.database_name)
    made = await target.engine.put_user(
        services.channel,
        target.cluster,
        user.database_username,
        user.database_password,
        user.database_name or None,
        user.create_admin_user,
        target.token,
    )
    return UserView.of(made)


@router.delete("/user/{datastore_id}")
async def drop_user(datastore: OwnedDatastore, user: FormerUser, tx: Transaction, services: Context) -> Done:
    """Removes a database user."""
    engine = services.engine(datastore.vendor, datastore.cluster_type)
    _check_user(datastore, engine, user.database_username)
    _refuse_host(user.database_host)
    target = await _reach(tx, services, datastore)
    if user.database_username not in (u.name for u in await engine.users(services.channel, target.cluster)):
        raise NotFound(
            f"there is no user {user.database_username!r}", field="database_username",
            remedy="List them: ccx user list DATASTORE",
        )  # fmt: skip
    await engine.drop_user(services.channel, target.cluster, user.database_username, target.token)
    return Done()


@router.get("/databases/{datastore_id}")
async def list_databases(datastore: OwnedDatastore, tx: Transaction, services: Context) -> list[DatabaseView]:
    """The databases."""
    target = await _reach(tx, services, datastore)
    return [DatabaseView.of(found) for found in await target.engine.databases(services.channel, target.cluster)]


@router.post("/database/{datastore_id}", status_code=201)
async def put_database(
    datastore: OwnedDatastore, body: DatabaseName, tx: Transaction, services: Context
) -> DatabaseView:
    """Makes a database, owned by the datastore's first user. One that exists is left as it is."""
    engine = services.engine(datastore.vendor, datastore.cluster_type)
    _check_database(engine, body.database_name)
    target = await _reach(tx, services, datastore)
    made = await engine.put_database(
        services.channel, target.cluster, body.database_name, datastore.admin_user, target.token
    )
    return DatabaseView.of(made)


@router.delete("/database/{datastore_id}")
async def drop_database(datastore: OwnedDatastore, body: DatabaseName, tx: Transaction, services: Context) -> Done:
    """Removes a database with everything in it."""
    engine = services.engine(datastore.vendor, datastore.cluster_type)
    _check_database(engine, body.database_name, datastore.admin_database)
    target = await _reach(tx, services, datastore)
    await _check_there(services, target, body.database_name)
    await engine.drop_database(services.channel, target.cluster, body.database_name, target.token)
    return Done()


@dataclass(frozen=True)
class _Target:
    """A cluster that can be talked to now."""

    engine: Engine
    cluster: ClusterSpec
    token: int
    """Of the datastore's last job: as high as its nodes have seen, and never so high that it stops a running job."""


async def _reach(tx: AsyncSession, services: Services, datastore: Datastore) -> _Target:
    """The datastore's cluster; ends the transaction. Raises Conflict unless the datastore serves."""
    await check_serves(tx, datastore)
    token = await jobs.last_token(tx, str(datastore.id))
    await tx.commit()
    subject = Subject(services, datastore)
    return _Target(subject.engine, await subject.cluster(), token)


async def _check_there(services: Services, target: _Target, name: str) -> None:
    """Raises NotFound for a database that is not."""
    if name not in (found.name for found in await target.engine.databases(services.channel, target.cluster)):
        raise NotFound(
            f"there is no database {name!r}", field="database_name", remedy="List them: ccx database list DATASTORE"
        )


def _check_user(datastore: Datastore, engine: Engine, name: str) -> None:
    # The first user's password is sealed in the vault: changed here, the owner would be shown a wrong one.
    reserved = engine.reserved_users | names.RESERVED_USERS | {datastore.admin_user}
    names.check_identifier(name, reserved, engine.reserved_beginnings, "database_username")


def _check_database(engine: Engine, name: str, *also_reserved: str) -> None:
    reserved = engine.reserved_databases | names.RESERVED_DATABASES | {*also_reserved}
    names.check_identifier(name, reserved, engine.reserved_beginnings, "database_name")


def _check_password(password: str) -> None:
    if any(ord(c) < 32 or ord(c) == 127 for c in password):
        raise Invalid("a password can't have control characters", field="database_password", remedy="Choose another")


def _refuse_host(host: str | None) -> None:
    if host not in (None, "", "%"):
        raise Invalid(
            "users aren't bound to hosts here",
            field="database_host",
            remedy="Send %, and say in the firewall where clients may come from",
        )


def _refuse_privileges(privileges: str | None) -> None:
    if (privileges or "").upper() not in ("", "ALL", "ALL PRIVILEGES"):
        raise Invalid(
            "single privileges can't be given here",
            field="database_privileges",
            remedy="Leave it out, and GRANT as the datastore's first user",
        )
