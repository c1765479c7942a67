"""Run as a script where Neutron is installed: creates what a file holds through Neutron's API, prints what it says.

``neutron_api.py FILE``, with ``security_groups`` and ``security_group_rules``. The API, its validation and the code
that keeps groups and rules are Neutron's own; the database is SQLite in memory, and nothing listens. Prints JSON:
status and body of each answer, and the rules as Neutron lists them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import webob
from neutron.common import config
from neutron.db import address_group_db, db_base_plugin_v2, securitygroups_db
from neutron.pecan_wsgi import app
from neutron_lib import rpc
from neutron_lib.db import api, model_base
from oslo_config import cfg

PROJECT = "ccx"
_CONFIGURATION = """
[DEFAULT]
core_plugin = neutron_api.Plugin
auth_strategy = noauth
transport_url = fake://
[database]
connection = sqlite://
"""


class Plugin(
    db_base_plugin_v2.NeutronDbPluginV2, securitygroups_db.SecurityGroupDbMixin, address_group_db.AddressGroupDbMixin
):
    """What Neutron's ML2 plugin is made of, without drivers for networks that don't exist."""

    supported_extension_aliases = (
        "security-group", "security-groups-remote-address-group", "address-group", "standard-attr-description",
    )  # fmt: skip


def neutron() -> Any:
    """Its WSGI application."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "neutron.conf"
        file.write_text(_CONFIGURATION)
        config.register_common_config_options()
        cfg.CONF(["--config-file", str(file)], project="neutron")
    rpc.init(cfg.CONF)
    made = app.v2_factory({})
    model_base.BASEV2.metadata.create_all(api.CONTEXT_WRITER.get_engine())
    return made


def main(file: str) -> None:
    application = neutron()

    def ask(method: str, path: str, body: object = None) -> tuple[int, Any]:
        request = webob.Request.blank(path, method=method, content_type="application/json")
        if body is not None:
            request.body = json.dumps(body).encode()
        answer = request.get_response(application)
        return answer.status_int, answer.json if answer.body else None

    text = Path(file).read_text()
    groups = []
    for group in json.loads(text)["security_groups"]:
        groups.append(ask("POST", "/security-groups", {"security_group": {**group, "project_id": PROJECT}}))
        text = text.replace(f"{{{group['name']}}}", groups[-1][1]["security_group"]["id"])
    rules = [
        ask("POST", "/security-group-rules", {"security_group_rule": {**rule, "project_id": PROJECT}})
        for rule in json.loads(text)["security_group_rules"]
    ]
    listed = ask("GET", "/security-group-rules")[1]["security_group_rules"]
    print(json.dumps({"groups": groups, "rules": rules, "listed": listed}))


if __name__ == "__main__":
    sys.modules["neutron_api"] = sys.modules["__main__"]  # Neutron loads its plugin by name
    main(sys.argv[1])
