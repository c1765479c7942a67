"""Counts rows when a backup is made, at a moment that it can be restored to; and again in what was restored."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from .errors import AgentError
from .postgres import query
from .postgres_session import Session
from .verb import SIDE, Args, Progress, Verb, number, text, texts

_DATABASES = "select json_agg(datname order by datname) from pg_database where datallowconn and not datistemplate;"
_BEGIN = "rollback; begin isolation level repeatable read read only; select pg_current_snapshot();"
# Whoever has a number and has not ended may have written its end to the log, and shows it only when a replica has it.
_STILL = "select pg_current_snapshot() || ' ' || (select count(*) from pg_stat_activity where backend_xid is not null);"
_POINT = "select pg_create_restore_point('{name}') is not null;"
# What tenants named with control characters can't be told line by line.
_TABLES = """\
select coalesce(json_agg(json_build_array(name, size) order by size, name), '[]') from (
select format('%I.%I', n.nspname, c.relname) as name, pg_relation_size(c.oid) as size
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname not in ('pg_catalog', 'information_schema')
and n.nspname !~ '^pg_toast' and c.relname !~ '[[:cntrl:]]' and n.nspname !~ '[[:cntrl:]]'
order by size, name limit {limit}) t;"""
_COUNT = "select pg_catalog.count(*) from {table};"
_LIMITED = "set local max_parallel_workers_per_gather = 0; set local statement_timeout = {ms};"

_TRIES = 20
_TABLES_AT_MOST = 2000


def count(args: Args, progress: Progress) -> dict[str, object]:
    """Rows of as many tables as ``seconds`` are enough for, small ones first; and the ``point`` to restore to.

    ``exact``: nothing was committed between the counted moment and the point. While many write, there may be no such
    moment; then the last one tried is counted.
    """
    stem, deadline = text(args, "point"), time.monotonic() + number(args, "seconds", 10)
    databases: list[str] = query(_DATABASES)
    with ExitStack() as stack:
        main = stack.enter_context(Session("postgres"))
        sessions = {name: stack.enter_context(Session(name)) for name in databases}
        for attempt in range(_TRIES):
            point = f"{stem}-{attempt}"
            snapshots = {session.ask(_BEGIN) for session in sessions.values()}
            main.ask(_POINT.format(name=point))
            after, _, writing = main.ask(_STILL).partition(" ")
            if exact := snapshots == {after} and writing == "0":
                break
            progress({"count": "waiting for a moment without a commit"})
            if attempt + 1 < _TRIES:
                time.sleep(0.05 * (1 + attempt % 4))
        rows: dict[str, int] = {}
        for session in sessions.values():
            session.yields()
        left = {name: _rows(name, session, deadline, rows) for name, session in sessions.items()}
        return {"point": point, "exact": exact, "rows": rows, "left": sum(left.values())}


def _rows(database: str, session: Session, deadline: float, rows: dict[str, int]) -> int:
    """Adds what it counts; returns how many tables were left out for the lack of time."""
    tables = json.loads(session.ask(_TABLES.format(limit=_TABLES_AT_MOST)))
    for done, (table, _) in enumerate(tables):
        remaining = deadline - time.monotonic()
        if remaining <= 0 or len(rows) >= _TABLES_AT_MOST:
            return len(tables) - done
        try:
            rows[f"{database}.{table}"] = int(
                session.ask(_LIMITED.format(ms=max(1, int(remaining * 1000))) + _COUNT.format(table=table))
            )
        except AgentError:  # it took too long, which ends the snapshot's transaction
            return len(tables) - done
    return 0


def recount(args: Args, progress: Progress) -> dict[str, object]:
    """The rows that these ``tables`` (``database.schema.table``) have now; what is not there is left out."""
    wanted, rows = set(texts(args, "tables")), {}
    for database in query(_DATABASES):
        with Session(database) as session:
            for table, _ in json.loads(session.ask(_TABLES.format(limit="all"))):
                if f"{database}.{table}" in wanted:
                    progress({"count": table})
                    rows[f"{database}.{table}"] = int(session.ask(_COUNT.format(table=table)))
    return {"rows": rows}


VERBS = {"postgres-count": Verb(count, mutates=True, lane=SIDE), "postgres-recount": Verb(recount, mutates=False)}
