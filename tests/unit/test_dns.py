"""Who is told of datastores' names."""

from __future__ import annotations

from ccx.dns import name_writer
from ccx.dns.dnsmasq import DnsmasqWriter
from ccx.dns.unpublished import Unpublished
from ccx.settings import CloudConfig, Paths, Settings


def test_names_are_written_where_a_dns_server_of_ours_is_and_nobody_is_waited_for_elsewhere() -> None:
    def of(cloud_type: str) -> Settings:
        cloud = CloudConfig(code="c", type=cloud_type, name="C", regions=(), instance_types=(), volume_types=())
        return Settings(paths=Paths.of("test"), clouds=(cloud,))

    assert isinstance(name_writer(of("local")), DnsmasqWriter)
    assert isinstance(name_writer(of("simulated")), Unpublished)
