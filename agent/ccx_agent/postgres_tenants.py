"""The tenant's users and databases. Changes may be repeated; passwords arrive as SCRAM verifiers, never in clear."""

from __future__ import annotations

from .errors import AgentError
from .postgres import query, sql
from .verb import Args, Progress, Verb, flag, text

# What an administrator may do beyond owning things. No superuser: that would be root on the node. Nor pg_read_all_data:
# that shows all password verifiers too, ours among them.
ADMIN_ROLES = "pg_monitor, pg_signal_backend"

USERS = r"""
select coalesce(json_agg(json_build_object('name', rolname, 'grants', concat_ws(', ',
    case when rolcreatedb then 'CREATEDB' end, case when rolcreaterole then 'CREATEROLE' end,
    (select string_agg('ALL ON ' || datname, ', ' order by datname) from pg_database
     where not datistemplate and datname <> 'postgres' and has_database_privilege(r.oid, oid, 'CREATE'))
)) order by rolname), '[]')
from pg_roles r where rolcanlogin and rolname <> 'postgres' and rolname not like 'pg\_%' and rolname not like 'ccx\_%';
"""

PUT_USER = r"""
select not exists (select from pg_roles where rolname = :'name') as missing \gset
begin;
set local log_statement = 'none';
\if :missing
create role :"name" login;
\endif
alter role :"name" login password :'verifier';
\if :admin
alter role :"name" createdb createrole;
grant ADMIN_ROLES to :"name";
\endif
commit;
""".replace("ADMIN_ROLES", ADMIN_ROLES)

# An administrator has what other users have, as a member of each.
SHARE = r"""
select format('grant %I to %I with inherit true', u.rolname, a.rolname) from pg_roles u, pg_roles a
where :'name' in (u.rolname, a.rolname) and u.rolcanlogin and a.rolcanlogin and a.rolcreaterole and not u.rolcreaterole
  and not u.rolsuper and not a.rolsuper and u.rolname not like 'ccx\_%' and not pg_has_role(a.oid, u.oid, 'usage')
\gexec
"""

GRANT = """
grant all on database :"database" to :"name";
grant all on schema public to :"name";
"""

DROP_USER = r"""
select exists (select from pg_roles where rolname = :'name') as found \gset
\if :found
drop role :"name";
\endif
"""

RELEASE = r"""
select exists (select from pg_roles where rolname = :'name') as found \gset
\if :found
reassign owned by :"name" to :"heir";
drop owned by :"name";
\endif
"""

DATABASES = """
select coalesce(json_agg(json_build_object('name', datname, 'owner', pg_get_userbyid(datdba),
    'size', pg_database_size(oid)) order by datname), '[]')
from pg_database where not datistemplate and datname <> 'postgres' and datallowconn;
"""

TABLES = r"""
select to_json(count(*)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition
  and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
"""

CONNECTED = """
select json_build_object('name', datname, 'owner', pg_get_userbyid(datdba), 'size', pg_database_size(oid),
    'tables', (TABLES))
from pg_database where datname = current_database();
""".replace("TABLES", TABLES)

PUT_DATABASE = r"""
select not exists (select from pg_database where datname = :'name') as missing \gset
\if :missing
create database :"name" owner :"owner";
\else
alter database :"name" owner to :"owner";
\endif
\connect :"name"
create extension if not exists pg_stat_statements;
"""


def users(_args: Args, _progress: Progress) -> dict[str, object]:
    return {"users": query(USERS)}


def user_put(args: Args, _progress: Progress) -> dict[str, object]:
    """Makes the user, or sets its password. ``verifier`` is the SCRAM-SHA-256 one; ``database``: one to use in full."""
    name, database = text(args, "name"), text(args, "database", "")
    verifier = text(args, "verifier")
    if not verifier.startswith("SCRAM-SHA-256$"):
        raise AgentError("the verifier is none of SCRAM-SHA-256")
    values = {"name": name, "verifier": verifier, "admin": str(flag(args, "admin")).lower(), "database": database}
    granted = f'\\connect :"database"\n{GRANT}' if database else ""
    users = query(PUT_USER + SHARE + granted + USERS, values)
    return {"user": next(user for user in users if user["name"] == name)}


def user_drop(args: Args, _progress: Progress) -> dict[str, object]:
    """Removes the user; what it owned goes to ``heir``."""
    name, heir = text(args, "name"), text(args, "heir")
    for database in ["postgres", *(entry["name"] for entry in query(DATABASES))]:
        sql(RELEASE, {"name": name, "heir": heir}, database)
    sql(DROP_USER, {"name": name})
    return {}


def databases(_args: Args, _progress: Progress) -> dict[str, object]:
    found = query(DATABASES)
    for entry in found:
        entry["tables"] = query(f"{TABLES};", database=entry["name"])
    return {"databases": found}


def database_put(args: Args, _progress: Progress) -> dict[str, object]:
    """Makes the database, or changes its owner; with the extensions that statistics need."""
    name, owner = text(args, "name"), text(args, "owner")
    return {"database": query(PUT_DATABASE + CONNECTED, {"name": name, "owner": owner})}


def database_drop(args: Args, _progress: Progress) -> dict[str, object]:
    """Removes the database, ending its sessions; an absent one is fine."""
    sql('drop database if exists :"name" with (force);', {"name": text(args, "name")})
    return {}


VERBS = {
    "postgres-users": Verb(users, mutates=False),
    "postgres-user-put": Verb(user_put, mutates=True),
    "postgres-user-drop": Verb(user_drop, mutates=True),
    "postgres-databases": Verb(databases, mutates=False),
    "postgres-database-put": Verb(database_put, mutates=True),
    "postgres-database-drop": Verb(database_drop, mutates=True),
}
