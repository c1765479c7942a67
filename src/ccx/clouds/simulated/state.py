"""What the simulated cloud remembers: documents, calls and events in one SQLite file that survives a power loss."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
create table if not exists document (kind text, name text, body text not null, primary key (kind, name));
create index if not exists document_address on document (json_extract(body, '$.private_ip'));
create table if not exists call (id integer primary key autoincrement, body text not null);
create table if not exists event (id integer primary key autoincrement, body text not null);
"""


class State:
    """Blocking: the server calls it from one worker thread, one :meth:`transaction` at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on disk when it returns."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def get(self, kind: str, name: str) -> Document | None:
        row = self._db.execute("select body from document where kind = ? and name = ?", (kind, name)).fetchone()
        return json.loads(row[0]) if row else None

    def all(self, kind: str) -> dict[str, Document]:
        """Every document of a kind by name, oldest first."""
        rows = self._db.execute("select name, body from document where kind = ? order by rowid", (kind,))
        return {name: json.loads(body) for name, body in rows}

    def at(self, address: str) -> tuple[str, Document] | None:
        """The server with that private address. Each verb looks for its own: it is found without reading all."""
        row = self._db.execute(
            "select name, body from document where kind = 'server' and json_extract(body, '$.private_ip') = ?",
            (address,),
        ).fetchone()
        return (row[0], json.loads(row[1])) if row else None

    def put(self, kind: str, name: str, body: Document) -> None:
        self._db.execute(
            "insert into document values (?, ?, ?) on conflict (kind, name) do update set body = excluded.body",
            (kind, name, json.dumps(body)),
        )

    def delete(self, kind: str, name: str) -> None:
        self._db.execute("delete from document where kind = ? and name = ?", (kind, name))

    def record_call(self, body: Document) -> None:
        self._append("call", body)

    def calls(self, after: int = 0) -> list[Document]:
        return self._since("call", after)

    def record_event(self, body: Document) -> None:
        self._append("event", body)

    def events(self, after: int) -> list[Document]:
        return self._since("event", after)

    def last_event(self) -> int:
        return int(self._db.execute("select coalesce(max(id), 0) from event").fetchone()[0])

    def _append(self, table: str, body: Document) -> None:
        self._db.execute(f"insert into {table} (body) values (?)", (json.dumps({"at": time.time(), **body}),))  # noqa: S608 - a constant of ours

    def _since(self, table: str, after: int) -> list[Document]:
        rows = self._db.execute(f"select id, body from {table} where id > ? order by id", (after,))  # noqa: S608
        return [{"id": number, **json.loads(body)} for number, body in rows]
