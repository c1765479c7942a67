"""What the tests of this folder write, read and wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.mariadb_rig import PASSWORD, Rig

Rows = list[tuple[Any, ...]]
SHOP = (
    f"create database shop; create user writer identified by '{PASSWORD}'; grant all on shop.* to writer; use shop;"
    " create table kept (n int primary key)"
)
"""A table that is empty, and who reads it as :func:`rows` does."""


class Writer(threading.Thread):
    """Writes all the time: rows of several kinds, changes and removals, in transactions of several statements."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self._rig = rig
        self._end = threading.Event()
        self.written = 0

    def run(self) -> None:
        with self._rig.connect("shop") as connection, connection.cursor() as cursor:
            while not self._end.is_set():
                self.written += 1
                n = self.written
                cursor.execute("begin")
                cursor.execute("insert into orders (n, what, much) values (%s, %s, %s)", (n, f"wört {n} 🐘", n / 7))
                cursor.execute("insert into blobs values (%s, repeat(char(%s), 2000))", (n, n % 256))
                if n % 3 == 0:
                    cursor.execute("update orders set what = concat(what, '!') where n = %s", (n - 1,))
                if n % 5 == 0:
                    cursor.execute("delete from blobs where n = %s", (n - 2,))
                cursor.execute("commit")

    def stop(self) -> None:
        self._end.set()
        self.join()

    def more(self, rows: int) -> None:
        """Returns when so many more were written."""
        until = self.written + rows
        while self.written < until:
            assert self.is_alive()
            time.sleep(0.01)


def rows(rig: Rig) -> dict[str, Rows]:
    """Every row of every table."""
    with rig.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute("show tables")
        tables = [name for (name,) in cursor.fetchall()]
        found = {}
        for table in tables:
            cursor.execute(f"select * from {table} order by 1")
            found[table] = list(cursor.fetchall())
        return found


def until(condition: Callable[[], bool], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
