"""A datastore that is deleted comes back from its backups."""

from __future__ import annotations

from ccx.demo.acts import ending
from ccx.demo.acts.lost_table import TABLE
from ccx.demo.application import by_name, connect, count
from ccx.demo.stage import NAME, Stage
from ccx.settings import Settings


def bring_back(stage: Stage, settings: Settings) -> None:
    before = stage.ask("datastore", "show", NAME)
    with connect(by_name(stage, settings, before["primary_url"])) as connection:
        rows = count(connection, TABLE)
    ending.delete(stage, settings)
    with stage.scene("restore it from its backups") as said:
        stage.run("backup", "list")
        stage.run("backup", "restore", NAME, NAME, "--allow", settings.client_address)
        after = stage.ask("datastore", "show", NAME)
        stage.expect(after["uuid"] != before["uuid"], f"it is a new datastore, {after['uuid']}")
        with connect(by_name(stage, settings, after["primary_url"])) as connection:
            there = count(connection, TABLE)
        stage.expect(there == rows, f"every row is there: {rows} when it was deleted, {there} now")
        said["outcome"] = f"{there} of {rows} rows are there, on {after['cluster_size']} nodes"
