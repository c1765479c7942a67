"""A table is dropped under a constant writer, and brought back by a restore in place."""

from __future__ import annotations

from ccx.demo import backstage
from ccx.demo.application import by_name
from ccx.demo.client import Client, select
from ccx.demo.stage import NAME, Stage, Unexpected
from ccx.demo.writer import Writer
from ccx.settings import Settings

TABLE = "ccx_demo"


def bring_back(stage: Stage, settings: Settings, client: Client) -> None:
    before = stage.ask("datastore", "show", NAME)
    string = by_name(stage, settings, client, before["primary_url"])
    with stage.scene("back it up in full while rows are written") as said:
        writer = Writer([string], TABLE, client=client).start()
        stage.run("backup", "create", NAME, "--full")
        writer.wait_for(400, timeout=120)
        said["outcome"] = f"longest pause in writes meanwhile {writer.gap():.1f} s"

    with stage.scene("drop the table under the writer") as said:
        dropped = client.drop(string, TABLE)
        stage.say(f"dropped {dropped.when}")
        refusal = _refusal(writer, client)
        stage.expect(TABLE in refusal, f"the writer is refused: {refusal}")
        acknowledged = len(writer.acknowledged)
        said["outcome"] = f"{acknowledged} rows were acknowledged, and are gone"

    with stage.scene("restore in place, to the moment before") as said:
        stage.run("backup", "restore", NAME, "--in-place", *dropped.before)
        after = stage.ask("datastore", "show", NAME)
        same = [(before[name], after[name]) for name in ("uuid", "primary_url", "replica_url")]
        stage.expect(all(was == now for was, now in same), f"its names are the same: {', '.join(n for _, n in same)}")
        now = by_name(stage, settings, client, after["primary_url"])
        moved = f"{string[client.address]} before, {now[client.address]} now"
        same_string = {**string, client.address: now[client.address]} == now
        stage.expect(same_string, f"so is the connection string; the name leads to another machine: {moved}")
        with client.connect(now) as session:
            lost = writer.lost(session)
            ((there,),) = select(session, f"select count(*) from {TABLE}")
        stage.expect(not lost, f"every row is back: {acknowledged} acknowledged before the drop, {there} in the table")
        with Writer([now], TABLE, client=client) as writer:
            writer.wait_for(200, timeout=120)
        stage.say("and rows are written again, with the same connection string")
        said["outcome"] = f"{there} of {acknowledged} rows back; names and connection string unchanged"

    with stage.scene("confirm the restore") as said:
        kept = _servers(settings, after)
        stage.run("backup", "confirm-restore", NAME)
        left = _servers(settings, after)
        stage.expect((kept, left) == (6, 3), f"machines of before are removed: there were {kept}, now {left}")
        said["outcome"] = "what was kept of before is removed"


def _refusal(writer: Writer, client: Client) -> str:
    """What the writer is told; it stops by it."""
    try:
        writer.wait_for(1, timeout=15)
    except client.no_table as refusal:
        return str(refusal).splitlines()[0]
    raise Unexpected("a row was written into a table that is not there")


def _servers(settings: Settings, store: dict[str, str]) -> int:
    short_id = store["primary_url"].split(".", 1)[0]
    return sum(one.startswith("server ") for one in backstage.resources(settings, short_id))
