"""A control plane, somebody who uses it, and their datastore."""

from __future__ import annotations

import socket
import time

from ccx.demo.choice import Choice
from ccx.demo.stage import INSTANCE, NAME, Stage
from ccx.settings import Settings, load

REPAIR_AFTER = 3
"""Seconds; an installation waits 300."""


def start(stage: Stage, choice: Choice) -> Settings:
    """The control plane, and a user in it."""
    stage.secret("passphrase")
    with stage.scene("start the control plane") as said:
        stage.run(
            "up", "--detach", "--instance", INSTANCE, "--listen", f"127.0.0.1:{_free_port()}",
            "--set", f"auto_repair.delay={REPAIR_AFTER}", *choice.settings(), *stage.recovery,
        )  # fmt: skip
        settings = load(INSTANCE)
        said["outcome"] = settings.public_url
    login = f"ada-{int(time.time())}@example.net"
    password = str(stage.secret("password"))
    stage.run("login", "--instance", INSTANCE, "--sign-up", "--login", login, "--password-file", password)
    return settings


def create(stage: Stage, settings: Settings, choice: Choice) -> None:
    with stage.scene(f"create a three-node {choice} datastore") as said:
        stage.run(
            "datastore", "create", NAME, *choice.order(), "--nodes", "3", "--size", "tiny", "--volume-size", "10",
            "--allow", settings.client_address,
        )  # fmt: skip
        store = stage.ask("datastore", "show", NAME)
        stage.expect(store["cluster_status"] == "STARTED", "the datastore is STARTED")
        said["outcome"] = f"{NAME} is STARTED with {store['cluster_size']} nodes"


def _free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
