"""Whether what a server serves is whole, and how many rows it has: at a place in its history that is known exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from .errors import AgentError
from .mysql_tenants import SYSTEM
from .mysql_wire import Connection, ServerRefused, name, quoted
from .verb import Args, Progress, Verb, number, texts

_CHECK_S = 6 * 3600.0
_TABLES = f"""select table_schema as db, table_name as tab, engine as engine,
 coalesce(data_length + index_length, 0) as size from information_schema.tables
 where table_type = 'BASE TABLE' and table_schema not in ({", ".join(map(quoted, SYSTEM))})
 order by table_schema, table_name"""  # noqa: S608
_FINE = ("status", "note")
"""Kinds of words about a table that is whole; a status may still say that it is not."""


@dataclass(frozen=True)
class Checks:
    """The verbs for one server of the family."""

    server: Callable[[float], AbstractContextManager[Connection]]
    """A connection as root, by the seconds for each answer. What it refuses ends in an AgentError."""
    snapshot: Callable[[Connection], str]
    """Has the connection see from now on what is there now; up to where in the history that is. Empty: not known."""
    within: str
    """Counts the rows of ``{table}`` within ``{seconds}`` or ``{milliseconds}``, as ``n``."""
    took_too_long: int
    """The error where it does not."""

    def verbs(self, prefix: str) -> dict[str, Verb]:
        return {
            f"{prefix}-verify": Verb(self._verify, mutates=False),
            f"{prefix}-count": Verb(self._count, mutates=False),
            f"{prefix}-recount": Verb(self._recount, mutates=False),
        }

    def _verify(self, _args: Args, progress: Progress) -> dict[str, object]:
        """Has every table checked, each page of it. Fails, naming those that are not whole."""
        wrong, done = [], 0
        with self.server(_CHECK_S) as connection:
            tables = connection.query(_TABLES)
            for table in tables:
                where = f"{name(table['db'])}.{name(table['tab'])}"
                said = connection.query(f"check table {where} extended")
                for line in said:
                    if line["Msg_type"] not in _FINE or (line["Msg_type"] == "status" and line["Msg_text"] != "OK"):
                        wrong.append(f"{table['db']}.{table['tab']}: {line['Msg_text'][:200]}")
                done += 1
                progress({"checked": done, "of": len(tables)})
        if wrong:
            raise AgentError("tables are not whole: " + "; ".join(wrong[:5]), "restore another backup")
        size = sum(int(table["size"]) for table in tables)
        return {"databases": len({table["db"] for table in tables}), "tables": len(tables), "bytes": size}

    def _count(self, args: Args, progress: Progress) -> dict[str, object]:
        """``rows`` of each table, all as of the transaction ``point``, which the log says to the number.

        It counts for so many ``seconds``, and then leaves the rest out. ``exact``: all are as of then: tables that know
        no transactions are not.
        """
        deadline = time.monotonic() + number(args, "seconds", 10)
        rows: dict[str, int] = {}
        with self.server(_CHECK_S) as connection:
            tables = connection.query(_TABLES)
            point = self.snapshot(connection)
            for table in tables:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                where = f"{name(table['db'])}.{name(table['tab'])}"
                statement = self.within.format(table=where, seconds=f"{left:.3f}", milliseconds=int(left * 1000) + 1)
                try:
                    rows[f"{table['db']}.{table['tab']}"] = int(connection.query(statement)[0]["n"])
                except ServerRefused as error:
                    if error.number == self.took_too_long:
                        break
                    continue  # it was changed or dropped since
                progress({"counted": len(rows), "of": len(tables)})
            connection.query("rollback")
        exact = bool(point) and all(table["engine"] == "InnoDB" for table in tables)
        return {"point": point, "exact": exact, "rows": rows}

    def _recount(self, args: Args, _progress: Progress) -> dict[str, object]:
        """``rows`` of the ``tables`` that are there, ``database.table`` each."""
        wanted = set(texts(args, "tables"))
        rows = {}
        with self.server(_CHECK_S) as connection:
            for table in connection.query(_TABLES):
                if (called := f"{table['db']}.{table['tab']}") in wanted:
                    where = f"{name(table['db'])}.{name(table['tab'])}"
                    rows[called] = int(connection.query(f"select count(*) as n from {where}")[0]["n"])  # noqa: S608
        return {"rows": rows}
