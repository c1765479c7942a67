"""Section 10: the DNS provider that external-dns writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.errors import Invalid
from ccx.network import Address, Direction, Plane, Protocol, Status, When, declare
from ccx.network.hosts import parse_url

if TYPE_CHECKING:
    from ccx.settings import Settings

_APIS = {
    "aws": ("route53.amazonaws.com",),
    "akamai": ("*.luna.akamaiapis.net",),
    "azure": ("management.azure.com", "login.microsoftonline.com"),
    "cloudflare": ("api.cloudflare.com",),
    "digitalocean": ("api.digitalocean.com",),
    "dnsimple": ("api.dnsimple.com",),
    "exoscale": ("api.exoscale.com",),
    "gandi": ("api.gandi.net",),
    "google": ("dns.googleapis.com", "oauth2.googleapis.com"),
    "linode": ("api.linode.com",),
    "ns1": ("api.nsone.net",),
    "scaleway": ("api.scaleway.com",),
}


def _provider(settings: Settings) -> tuple[Address, ...]:
    chosen = settings.kubernetes.external_dns
    if chosen.api:
        return (parse_url(chosen.api, field="kubernetes.external_dns.api"),)
    if chosen.provider not in _APIS:
        raise Invalid(
            f"nobody knows the API of the DNS provider {chosen.provider!r}", field="kubernetes.external_dns.provider",
            remedy=f"Give its URL in external-dns.api; known without are {', '.join(sorted(_APIS))}",
        )  # fmt: skip
    return tuple(Address(host) for host in _APIS[chosen.provider])


PROVIDER = declare(
    id="dns.provider", section=10, host=_provider, ports=443, protocol=Protocol.HTTPS, direction=Direction.OUTBOUND,
    plane=Plane.CONTROL, required=False, service="external-dns", purpose="publishes datastores' names",
    needed=When(lambda s: s.kubernetes.enabled and s.kubernetes.external_dns.enabled, "external-dns.enabled"),
    when_blocked="names of new datastores don't resolve, and names don't follow a failover; addresses do work",
    status=Status.PLANNED,
)  # fmt: skip
