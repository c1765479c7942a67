"""A datastore's deletion."""

from __future__ import annotations

from ccx.demo import backstage
from ccx.demo.stage import NAME, Stage
from ccx.settings import Settings


def delete(stage: Stage, settings: Settings) -> None:
    with stage.scene("delete the datastore") as said:
        short_id = str(stage.ask("datastore", "show", NAME)["primary_url"]).split(".", 1)[0]
        stage.run("datastore", "delete", NAME, "--yes")
        left = backstage.resources(settings, short_id)
        stage.expect(not left, f"the cloud holds nothing of it{': ' + ', '.join(left) if left else ''}")
        said["outcome"] = "no server, volume, address or firewall is left"
