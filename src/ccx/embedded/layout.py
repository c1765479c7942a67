"""Where one instance has what on this machine: folders, addresses, namespaces, sockets. Pure; light to import."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from ccx.clouds.local.place import Place

USER = "ccx"
"""The system user (and group) that every process of the control plane runs as."""

ROOT = Path("/etc/ccx")
"""The instances' keys, settings and layouts, a folder each."""

HTTP_PORT = 18091
HTTPS_PORT = 443
NATS_PORT = 4222
S3_PORT = 8333


@dataclass(frozen=True)
class Layout:
    """One installed instance. ``subnet`` is its /20, ``listen`` the host's public HTTPS listener (``address:port``)."""

    instance: str
    subnet: IPv4Network
    listen: str
    resolve: bool = False
    """Whether this machine itself resolves the datastores' names."""

    @cached_property
    def etc(self) -> Path:
        return ROOT / self.instance

    @cached_property
    def var(self) -> Path:
        return Path("/var/lib/ccx") / self.instance

    @cached_property
    def run(self) -> Path:
        return Path("/run/ccx") / self.instance

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @cached_property
    def place(self) -> Place:
        """What the local cloud knows of the same instance: it decides on addresses, namespaces and its own files."""
        return Place(self.instance, self.subnet)

    @property
    def namespace(self) -> str:
        """Name of the control plane's network namespace, as ``ip netns`` shows it."""
        return self.place.control_namespace

    @property
    def namespace_file(self) -> Path:
        return Path("/run/netns") / self.namespace

    @property
    def router(self) -> IPv4Address:
        """The local cloud's router; also the DNS server that nodes, control plane and clients ask."""
        return self.place.router

    @property
    def control(self) -> IPv4Address:
        """Where nodes reach the control plane (443)."""
        return self.place.control

    @property
    def host(self) -> IPv4Address:
        """Where this machine itself is, as nodes see its clients."""
        return self.place.host

    @property
    def outside(self) -> IPv4Address:
        """Where the control plane leaves this machine from, before the host puts its own address there."""
        return self.place.outside

    @property
    def outside_host(self) -> IPv4Address:
        """The host's end of that way."""
        return self.place.outside_host

    @property
    def outside_link(self) -> str:
        return self.place.outside_link

    @property
    def hosts_file(self) -> Path:
        """The parts' ``/etc/hosts``."""
        return self.run / "hosts"

    @property
    def mirror_url(self) -> str:
        """The local cloud's own package mirror, as ``mirror.packages`` names it."""
        return f"http://{self.place.mirror}"

    @property
    def mirror_key(self) -> Path:
        """The public key that nodes trust for packages, as ``mirror.key`` names it."""
        return self.etc / "mirror.asc"

    @property
    def listen_address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def public_url(self) -> str:
        """The API's URL as a person on this machine pastes it."""
        host, port = self.listen_address
        host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
        host = f"[{host}]" if ":" in host else host
        return f"https://{host}" if port == HTTPS_PORT else f"https://{host}:{port}"

    @property
    def postgres_socket(self) -> Path:
        return self.run / "postgresql"

    @property
    def dsn(self) -> str:
        return f"postgresql+psycopg://ccx@/ccx?host={self.postgres_socket}"

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{NATS_PORT}"

    @property
    def s3_url(self) -> str:
        """Where nodes and control plane reach this instance's own object store."""
        return f"https://{self.control}:{S3_PORT}"

    @property
    def operator_password(self) -> Path:
        """Password of the user ``operator``, who sees everybody's datastores. A change holds from the next start."""
        return self.etc / "operator.password"

    @property
    def cloud_socket(self) -> Path:
        """Where the local cloud's daemon answers."""
        return self.place.socket

    @property
    def cloud_pid_file(self) -> Path:
        return self.place.pid_file

    @property
    def egress_rules(self) -> Path:
        """What the kernel lets the control plane connect to, for ``nft -f``."""
        return self.run / "egress.nft"

    def save(self) -> None:
        """Remembers the choices for the next start. Raises OSError."""
        text = json.dumps(
            {"subnet": str(self.subnet), "listen": self.listen, "resolve": self.resolve}, indent=2, sort_keys=True
        )
        target = _file(self.instance)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        partial = target.with_suffix(".new")
        partial.write_text(text + "\n")
        partial.replace(target)


def remembered(instance: str) -> Layout | None:
    """The layout that this instance was installed with; None where there is no such instance."""
    try:
        saved = json.loads(_file(instance).read_text())
    except FileNotFoundError:
        return None
    return Layout(instance, IPv4Network(saved["subnet"]), saved["listen"], bool(saved.get("resolve")))


def installed() -> list[str]:
    """The names of all instances on this machine."""
    return sorted(file.parent.name for file in ROOT.glob("*/installation.json"))


def _file(instance: str) -> Path:
    return ROOT / instance / "installation.json"
