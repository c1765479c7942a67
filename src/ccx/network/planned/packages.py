"""Section 3: where nodes get the packages of what is not built yet: other vendors, other clouds' systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import (
    VENDORS_KEYS,
    Direction,
    Mirror,
    Plane,
    Protocol,
    Status,
    When,
    declare,
    for_vendor,
    on_cloud,
)
from ccx.network.mirror import repository

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ccx.network.endpoint import HostFunction
    from ccx.settings import Settings

_OWN_IMAGES = ("local", "simulated")
STOCK_NODES = When(
    lambda s: s.kubernetes.enabled or any(c.type not in _OWN_IMAGES for c in s.clouds),
    "datastores run on a cloud other than the local one",
)
_PERCONA = "percona"
_TELEMETRY = When(lambda s: s.percona_telemetry, "percona_telemetry is on")


def _apt(
    id_: str, host: str | HostFunction, path: str, purpose: str, *, when: When | None = None, port: int = 80,
    section: int | None = 3, required: bool = True, reason: str = "", source: str = "", blocked: str = "",
    mirror: Mirror = Mirror.APT_REPOSITORY,
) -> None:  # fmt: skip
    declare(
        id=f"packages.{id_}", section=section, host=host, ports=port, path=path, purpose=purpose,
        protocol=Protocol.HTTPS if port == 443 else Protocol.HTTP, direction=Direction.OUTBOUND, plane=Plane.DATA,
        needed=STOCK_NODES & when if when else STOCK_NODES, required=required, service="cloud-init",
        mirror=mirror, status=Status.PLANNED, reason=reason, source=source,
        when_blocked=blocked or "a new node's bootstrap fails and names this repository; nodes that run go on",
    )  # fmt: skip


_apt("s9s", "europe-apt.pkg.dev", "/projects/severalnines-public", "ccx agent packages", port=443)
_apt("fluentbit", "packages.fluentbit.io", "/ubuntu/", "Fluent Bit log forwarder", port=443)

_BASE = "Base dependencies: the specification's text names them, its tables and checklist don't"
for _id, _host in {"ubuntu": "archive.ubuntu.com", "ubuntu-security": "security.ubuntu.com"}.items():
    _apt(_id, _host, "/ubuntu", "Ubuntu base packages", section=None, reason=_BASE)
_apt("ubuntu-ports", "ports.ubuntu.com", "/ubuntu-ports", "Ubuntu base packages for ARM servers", section=None,
     required=False, reason=_BASE, blocked="ARM servers don't come up; others go on")  # fmt: skip


def _regional(settings: Settings) -> Iterable[str]:
    for cloud in settings.clouds:
        if cloud.type == "aws":
            yield from (f"{region.code}.ec2.archive.ubuntu.com" for region in cloud.regions)


_apt("ubuntu-ec2", _regional, "/ubuntu", "Ubuntu base packages, as AWS's images are set up", section=None,
     when=on_cloud("aws"), reason=_BASE)  # fmt: skip

_KEYS = "Repositories' signing keys come from hosts that the specification leaves out"
_apt("key-fluentbit", "packages.fluentbit.io", "/fluentbit.key", "Fluent Bit's signing key", port=443, section=None,
     when=VENDORS_KEYS, reason=_KEYS)  # fmt: skip
_apt("key-s9s", "europe-apt.pkg.dev", "/doc/repo-signing-key.gpg", "the agent packages' signing key", port=443,
     section=None, when=VENDORS_KEYS, reason=_KEYS)  # fmt: skip
_apt("percona-calls", "check.percona.com", "", "Percona's telemetry agent reports", port=443, section=None,
     mirror=Mirror.NONE,
     when=for_vendor(_PERCONA) & _TELEMETRY, required=False, blocked="nothing is reported; databases go on",
     reason="The agent's own calls; off unless asked for (PERCONA_TELEMETRY_DISABLE=1)")  # fmt: skip

# What each of these holds. Where vendors leave something open, it is left open here, and the mirror's plan says so.
repository(row="packages.s9s", suites=(), key="packages.key-s9s")
repository(row="packages.fluentbit", path="{codename}", suites=("{codename}",), key="packages.key-fluentbit",
           distributions=("ubuntu",), packages={"": ("fluent-bit",)})  # fmt: skip
_UBUNTU = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
repository(row="packages.ubuntu", suites=("{codename}", "{codename}-updates"), components=("main", "universe"),
           keyring=_UBUNTU, distributions=("ubuntu",), base=True)  # fmt: skip
repository(row="packages.ubuntu-security", suites=("{codename}-security",), components=("main", "universe"),
           keyring=_UBUNTU, distributions=("ubuntu",), base=True)  # fmt: skip
