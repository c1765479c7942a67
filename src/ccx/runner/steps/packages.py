"""The packages of a node that started from a stock image: installed from the repositories that the contract names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

from ccx.errors import Invalid
from ccx.jobs import Step
from ccx.network.mirror.sources import node_packages, node_sources
from ccx.runner.services import Services
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject, node_spec
from ccx.settings import Settings

INSTALL_S = 900.0
"""Seconds that installing may take without progress."""


def needed(subject: Subject) -> bool:
    """Whether the datastore's nodes start without the packages that they need."""
    return subject.image == "stock"


def install(services: Services, datastore_id: str, node_id: UUID) -> Action:
    """Installs what the node lacks; how far it is is the step's progress.

    Fails, naming the repository, within half a minute when one is out of reach or not signed by a key that is trusted.
    """

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)

        async def report(progress: dict[str, Any]) -> None:
            await step.progress(
                progress.get("done", 0), progress.get("total"), progress.get("unit"), progress.get("note")
            )

        args = await asyncio.to_thread(request, services.settings, subject)
        node = node_spec(subject.node(node_id))
        await services.channel.call(node, "packages", args, token=step.token, timeout=INSTALL_S, progress=report)

    return action


def request(settings: Settings, subject: Subject) -> dict[str, Any]:
    """What the node's agent is told. Reads the key's file."""
    software, datastore = subject.engine.software, subject.datastore
    which = datastore.vendor, datastore.version, datastore.cluster_type
    return {
        "packages": list(node_packages(*which)),
        "sources": [source.to_json() for source in node_sources(settings, *which)],
        "key": _key(settings),
        "proxy": settings.egress_proxy,
        "files": [{"path": path, "content": content} for path, content in software.files],
        "off": list(software.off),
    }


def _key(settings: Settings) -> str:
    if not settings.mirror.key:
        return ""
    try:
        return Path(settings.mirror.key).read_text()
    except (OSError, ValueError) as error:
        raise Invalid(
            f"the key that nodes are to trust for packages can't be read: {error}", field="mirror.key",
            remedy="Name a file with public keys, ASCII armoured, that the user ccx can read",
        ) from None  # fmt: skip
