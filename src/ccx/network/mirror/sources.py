"""The repositories as a node sees them: where it gets what, under given settings. The contract's rows decide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ccx.network import catalogue
from ccx.network.endpoint import Endpoint, Target
from ccx.network.hosts import is_address, parse_url
from ccx.network.kinds import Protocol, Status
from ccx.network.mirror.repository import Repository, needed, repositories

if TYPE_CHECKING:
    from ccx.settings import Settings

_USUAL = {Protocol.HTTP: 80, Protocol.HTTPS: 443}


@dataclass(frozen=True)
class AptSource:
    """One entry of a node's ``ccx.sources``. Suites and URL may hold ``{codename}`` and ``{distribution}``."""

    name: str
    """The contract's row."""
    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    distributions: tuple[str, ...]
    """Of nodes that it is for."""
    keyring: str
    """File on the node that holds the signing key; empty when the system knows none."""
    key_url: str
    """Where the signing key comes from otherwise."""
    proxied: bool
    """It is fetched by the egress proxy."""
    key_proxied: bool
    pins: tuple[tuple[str, str], ...] = ()
    """Packages, by pattern, and the pattern of the only version that may be installed of them."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def node_sources(settings: Settings, vendor: str, version: str, topology: str) -> tuple[AptSource, ...]:
    """What a node of that vendor, version and topology installs from. Only what is built: nodes use nothing else."""
    return tuple(
        _source(entry, version, settings)
        for entry in needed(settings)
        if entry.used_by(vendor, topology) and _row(entry).status is Status.BUILT
    )


def node_packages(vendor: str, version: str, topology: str) -> tuple[str, ...]:
    """Everything that a node of that vendor, version and topology installs, from whichever repository."""
    return tuple(
        sorted(
            name
            for entry in repositories()
            if entry.used_by(vendor, topology) and _row(entry).status is Status.BUILT
            for name in entry.packages_of(version)
        )
    )


def has_packages(vendor: str, version: str, topology: str) -> bool:
    """Whether a repository of the vendor's has anything for such a node. All nodes install of the system's own."""
    return any(
        entry.vendor == vendor and entry.used_by(vendor, topology) and entry.packages_of(version)
        for entry in repositories()
    )


def reached(settings: Settings, vendor: str, topology: str) -> tuple[tuple[str, int], ...]:
    """Hosts and ports that such nodes connect to for their packages: the repositories, or the proxy."""
    known, found = catalogue.load(), set()
    for entry in needed(settings):
        if not entry.used_by(vendor, topology):
            continue
        for endpoint in [known[id_] for id_ in (entry.row, entry.key) if id_]:
            if endpoint.status is not Status.BUILT or not endpoint.needed(settings):
                continue
            if endpoint.by_proxy(settings):
                proxy = parse_url(settings.egress_proxy, field="egress_proxy")
                found.add((proxy.host, proxy.port or 3128))
            else:
                found.update((target.host, target.port) for target in endpoint.targets(settings))
    return tuple(sorted(found))


def network_of(host: str) -> str:
    """What a cloud's firewall is told of a host. A name is anywhere: it is for the node's own rules to know better."""
    if not is_address(host):
        return "0.0.0.0/0"
    return host if "/" in host else f"{host}/32"


def url(target: Target, endpoint: Endpoint, below: str = "") -> str:
    """The target as a URL."""
    protocol = target.protocol or endpoint.protocol
    host = f"[{target.host}]" if ":" in target.host else target.host
    port = "" if _USUAL.get(protocol) == target.port else f":{target.port}"
    path = "/".join(part for part in (target.path.rstrip("/"), below.strip("/")) if part)
    return f"{protocol.value.lower()}://{host}{port}{path}"


def _row(entry: Repository) -> Endpoint:
    return catalogue.load()[entry.row]


def _source(entry: Repository, version: str, settings: Settings) -> AptSource:
    endpoint = _row(entry)
    key = catalogue.load()[entry.key] if entry.key else None
    below = entry.path.replace("{version}", version)
    return AptSource(
        name=entry.row,
        uri=url(endpoint.targets(settings)[0], endpoint, below),
        suites=entry.suites,
        components=entry.components,
        distributions=entry.distributions,
        keyring=entry.keyring,
        key_url=url(key.targets(settings)[0], key) if key else "",
        proxied=endpoint.by_proxy(settings),
        key_proxied=bool(key and key.by_proxy(settings)),
        pins=tuple((packages, of.replace("{version}", version)) for packages, of in entry.pins.items()),
    )
