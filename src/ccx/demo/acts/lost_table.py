"""A table is dropped under a constant writer, and brought back by a restore in place."""

from __future__ import annotations

from datetime import datetime

import psycopg

from ccx.demo import backstage
from ccx.demo.application import by_name, connect, count
from ccx.demo.stage import NAME, Stage, Unexpected
from ccx.demo.writer import Writer
from ccx.settings import Settings

TABLE = "ccx_demo"


def bring_back(stage: Stage, settings: Settings) -> None:
    before = stage.ask("datastore", "show", NAME)
    string = by_name(stage, settings, before["primary_url"])
    with stage.scene("back it up in full while rows are written") as said:
        writer = Writer([string], TABLE).start()
        stage.run("backup", "create", NAME, "--full")
        writer.wait_for(400, timeout=30)
        said["outcome"] = f"longest pause in writes meanwhile {writer.gap():.1f} s"

    with stage.scene("drop the table under the writer") as said:
        moment = _drop(string)
        stage.say(f"dropped right after {moment.isoformat()}")
        stage.expect(_is_refused(writer), f'the writer is refused: relation "{TABLE}" does not exist')
        acknowledged = len(writer.acknowledged)
        said["outcome"] = f"{acknowledged} rows were acknowledged, and are gone"

    with stage.scene("restore in place, to the moment before") as said:
        stage.run("backup", "restore", NAME, "--in-place", "--to", moment.isoformat())
        after = stage.ask("datastore", "show", NAME)
        same = [(before[name], after[name]) for name in ("uuid", "primary_url", "replica_url")]
        stage.expect(all(was == now for was, now in same), f"its names are the same: {', '.join(n for _, n in same)}")
        now = by_name(stage, settings, after["primary_url"])
        moved = f"{string.pop('hostaddr')} before, {now.pop('hostaddr')} now"
        stage.expect(now == string, f"so is the connection string; the name leads to another machine: {moved}")
        string = by_name(stage, settings, after["primary_url"])
        with connect(string) as connection:
            lost, there = writer.lost(connection), count(connection, TABLE)
        stage.expect(not lost, f"every row is back: {acknowledged} acknowledged before the drop, {there} in the table")
        with Writer([string], TABLE) as writer:
            writer.wait_for(200, timeout=30)
        stage.say("and rows are written again, with the same connection string")
        said["outcome"] = f"{there} of {acknowledged} rows back; names and connection string unchanged"

    with stage.scene("confirm the restore") as said:
        kept = _servers(settings, after)
        stage.run("backup", "confirm-restore", NAME)
        left = _servers(settings, after)
        stage.expect((kept, left) == (6, 3), f"machines of before are removed: there were {kept}, now {left}")
        said["outcome"] = "what was kept of before is removed"


def _drop(string: dict[str, str]) -> datetime:
    """The last moment at which the table was there. Whoever writes to it waits, and then finds it gone."""
    with connect(string) as connection:
        connection.execute(f"lock table {TABLE}")
        row = connection.execute("select clock_timestamp()").fetchone()
        connection.execute(f"drop table {TABLE}")
    assert row is not None
    moment: datetime = row[0]
    return moment


def _is_refused(writer: Writer) -> bool:
    try:
        writer.wait_for(1, timeout=15)
    except psycopg.errors.UndefinedTable:
        return True
    raise Unexpected("a row was written into a table that is not there")


def _servers(settings: Settings, store: dict[str, str]) -> int:
    short_id = store["primary_url"].split(".", 1)[0]
    return sum(one.startswith("server ") for one in backstage.resources(settings, short_id))
