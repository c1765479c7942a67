"""What the operations work with: handed to the runner once, reached by each job as ``job.services``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ccx.clouds.base import Cloud
from ccx.cmon.engines.base import Engines
from ccx.cmon.node_channel import NodeChannel
from ccx.db import SessionFactory
from ccx.dns.base import NameWriter
from ccx.secrets import Vault
from ccx.settings import Settings


@dataclass(frozen=True)
class Installation:
    """What a node is told about the installation that it belongs to. All of it is public."""

    ca: str
    """The installation's CA certificate, PEM: signs the control plane's HTTPS."""
    control_url: str
    """Where nodes phone home: ``https://<address>``."""
    authorized_key: str
    """The control plane's SSH public key."""
    apt_key: str
    """The public key that our APT repository is signed with, ASCII armoured."""


@dataclass(frozen=True)
class Services:
    """The floors below, ready to be called."""

    settings: Settings
    sessions: SessionFactory
    vault: Vault
    clouds: Mapping[str, Cloud]
    channel: NodeChannel
    names: NameWriter
    installation: Installation
    engine: Engines
