"""The control plane is lost with all it knew, while its datastore serves; it is rebuilt from its copy in the store."""

from __future__ import annotations

import os
import shutil
import signal
import time

from ccx.demo.acts.lost_table import TABLE
from ccx.demo.application import by_name
from ccx.demo.client import Client
from ccx.demo.stage import INSTANCE, NAME, Stage, Unexpected, until
from ccx.demo.writer import Writer
from ccx.embedded import processes, record
from ccx.embedded.layout import Layout, remembered
from ccx.recovery.status import CopyStatus
from ccx.settings import Settings

_SURVIVES = ("cloud", "s3")
"""What is not the control plane's in its folder: the local cloud's machines, and the object store's objects."""


def rebuild(stage: Stage, settings: Settings, client: Client) -> None:
    before = stage.ask("datastore", "show", NAME)
    known = _nodes(stage)
    string = by_name(stage, settings, client, before["primary_url"])
    with stage.scene("lose the control plane and all it knew") as said:
        layout = _layout()
        since = time.time()
        until(lambda: _not_copied(layout, since), within=90, what="its copy in the object store is complete")
        writer = Writer([string], TABLE, client=client).start()
        _lose(layout)
        stage.say(f"killed it, and removed {layout.etc} and all of {layout.var} but {' and '.join(_SURVIVES)}")
        writer.wait_for(200, timeout=60)
        stage.expect(writer.gap() < 1, f"the datastore serves on; longest pause in writes {writer.gap():.1f} s")
        said["outcome"] = "nothing is left of it but the recovery copy and what is in the object store"

    with stage.scene("rebuild it from the object store") as said:
        stage.run("recover", "--instance", INSTANCE, "--detach", *stage.recovery)
        until(lambda: _not_started(stage), within=60, what="it sees its datastore")
        stage.run("datastore", "show", NAME)
        same = stage.ask("datastore", "show", NAME)["uuid"] == before["uuid"] and _nodes(stage) == known
        stage.expect(same, "it manages the same datastore on the same machines, with the same login")
        writer.wait_for(50, timeout=60)
        writer.stop()
        with client.connect(by_name(stage, settings, client, before["primary_url"])) as session:
            lost = writer.lost(session)
        written = len(writer.acknowledged)
        stage.expect(not lost, f"acknowledged writes lost meanwhile: {len(lost)} of {written}")
        said["outcome"] = f"longest pause in writes {writer.gap():.1f} s, lost: {len(lost)} of {written}"


def _layout() -> Layout:
    found = remembered(INSTANCE)
    if found is None:
        raise Unexpected("the control plane is installed on this machine")
    return found


def _lose(layout: Layout) -> None:
    """As when a machine's disk is gone."""
    running = record.read(layout.run)
    if running is None:
        raise Unexpected("the control plane runs on this machine")
    os.kill(running.pid, signal.SIGKILL)
    until(
        lambda: "there are processes of it" if processes.inside_network(layout.namespace_file) else None,
        within=30,
        what="nothing of it runs",
    )
    for path in (layout.etc, *layout.var.iterdir()):
        if path.name not in _SURVIVES:
            shutil.rmtree(path)


def _not_copied(layout: Layout, since: float) -> str | None:
    status = CopyStatus.load(layout.var)
    if status is None or status.complete is None:
        return "there is none"
    return None if status.complete > since else f"it ends {since - status.complete:.0f} s before"


def _not_started(stage: Stage) -> str | None:
    store = stage.ask("datastore", "show", NAME)
    if store["cluster_status"] == "STARTED":
        return None
    return f"it is {store['cluster_status']}: {store['cluster_status_text']}"


def _nodes(stage: Stage) -> list[tuple[str, str]]:
    return sorted((one["host_uuid"], one["private_ip"]) for one in stage.ask("node", "list", NAME))
