"""Where datastores' names are written. ``base.NameWriter`` is the interface; ``name_writer`` picks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.dns.base import NameWriter

if TYPE_CHECKING:
    from ccx.settings import Settings

__all__ = ["NameWriter", "name_writer"]


def name_writer(settings: Settings) -> NameWriter:
    """The writer for this installation: the local cloud's DNS server where there is one, else nothing is published."""
    if any(cloud.type == "local" for cloud in settings.clouds):
        from ccx.dns.dnsmasq import DnsmasqWriter

        return DnsmasqWriter(settings.paths.run / "cloud.sock")
    from ccx.dns.unpublished import Unpublished

    return Unpublished()
