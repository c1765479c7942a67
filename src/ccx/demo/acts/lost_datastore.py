"""A datastore that is deleted comes back from its backups."""

from __future__ import annotations

from ccx.demo.acts import ending
from ccx.demo.acts.lost_table import TABLE
from ccx.demo.application import by_name
from ccx.demo.client import Client, Parameters, select
from ccx.demo.stage import NAME, Stage
from ccx.settings import Settings


def bring_back(stage: Stage, settings: Settings, client: Client) -> None:
    before = stage.ask("datastore", "show", NAME)
    rows = _count(client, by_name(stage, settings, client, before["primary_url"]))
    ending.delete(stage, settings)
    with stage.scene("restore it from its backups") as said:
        stage.run("backup", "list")
        stage.run("backup", "restore", NAME, NAME, "--allow", settings.client_address)
        after = stage.ask("datastore", "show", NAME)
        stage.expect(after["uuid"] != before["uuid"], f"it is a new datastore, {after['uuid']}")
        there = _count(client, by_name(stage, settings, client, after["primary_url"]))
        stage.expect(there == rows, f"every row is there: {rows} when it was deleted, {there} now")
        said["outcome"] = f"{there} of {rows} rows are there, on {after['cluster_size']} nodes"


def _count(client: Client, parameters: Parameters) -> int:
    with client.connect(parameters) as session:
        ((rows,),) = select(session, f"select count(*) from {TABLE}")
    return int(rows)
