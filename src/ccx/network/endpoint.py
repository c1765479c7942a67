"""One declared connection: the model of the contract, and the only way to a client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ccx.errors import CcxError, Invalid
from ccx.network.hosts import Address, checked_host, checked_port, covers, is_address, parse_url
from ccx.network.kinds import Direction, Group, Mirror, Plane, Protocol, Status, UnixSocket
from ccx.network.mirrors import mirror_of
from ccx.network.refusal import UndeclaredConnection, calling_module, nearest
from ccx.network.template import expand, is_template
from ccx.network.when import ALWAYS, When

if TYPE_CHECKING:
    import asyncio
    import socket

    import httpx

    from ccx.settings import Settings

    HostFunction = Callable[[Settings], str | Address | Iterable[str | Address]]
    PortFunction = Callable[[Settings], int]


@dataclass(frozen=True)
class Target:
    """One host (or group) and port that a declaration stands for under given settings."""

    host: str
    port: int
    path: str = ""
    group: Group | None = None
    behind: tuple[str, ...] = ()
    protocol: Protocol | None = None
    """Where the settings say otherwise than the declaration."""
    mirror_of: str = ""
    """The host that this one stands in for."""

    def members(self, settings: Settings) -> tuple[str, ...]:
        """The networks or addresses behind it, as far as the settings tell."""
        return self.group.members(settings) if self.group else (self.host,)

    def covers(self, host: str, port: int, settings: Settings) -> bool:
        """Whether a connection to ``host`` and ``port`` is this one.

        A group whose members the settings don't tell is checked by port alone; the kernel's rules know the rest.
        """
        if port != self.port:
            return False
        if self.group is None:
            return covers(self.host, host)
        if not is_address(host):
            domain = self.group.domain(settings)
            return bool(domain) and (host == domain or host.endswith(f".{domain}"))
        members = self.group.members(settings)
        return not members or any(covers(member, host) for member in members)


def mirrored(target: Target, mirror: Address) -> Target:
    """``target`` at the mirror that stands in for it: the vendor's own path, and nothing behind it."""
    return replace(
        target, host=mirror.host, port=mirror.port or 443, protocol=mirror.protocol or Protocol.HTTPS, behind=(),
        mirror_of=target.host,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A connection that CCX makes or accepts, with everything that an operator needs to know in order to allow it.

    Attributes:
        id: unique, dotted, for good: ``notify.slack``. It appears in rules, logs and answers.
        section: of the specification; None for what the specification omits, with ``reason``.
        host: a name, ``*.name``, a template over settings (``{fqdn}``), a function of the settings, a named group,
            or a unix socket.
        ports: one, several, or a function of the settings. A port that ``host`` gives wins.
        plane: where it is made from; inbound, where it is made to.
        service: who uses it.
        purpose: what for, in a few words.
        needed: when it is needed at all; otherwise it is in no plan and has no client.
        condition: the same in words; by default those of ``needed``.
        required: whether the system can't do its work without it.
        mirror: what can stand in for it.
        behind: hosts that it hands out connections to (token servers, CDN and blob hosts); to be allowed as well.
        when_blocked: what the code really does then.
        path: of the URL, where a mirror or a proxy needs it.
        pod_port: the port on the pod, where a Kubernetes Service maps it: network policies see pods' ports.
        source: where the facts are from, for whom they look wrong to.
    """

    id: str
    section: int | None
    host: str | Group | UnixSocket | HostFunction
    ports: int | tuple[int, ...] | PortFunction = ()
    protocol: Protocol
    direction: Direction
    plane: Plane
    service: str
    purpose: str
    when_blocked: str
    needed: Callable[[Settings], bool] = ALWAYS
    condition: str = ""
    required: bool = True
    mirror: Mirror = Mirror.NONE
    behind: tuple[str, ...] = ()
    path: str = ""
    pod_port: int | None = None
    reason: str = ""
    source: str = ""
    status: Status = Status.BUILT
    module: str = field(default="", compare=False)
    """The module that declared it; set by :func:`ccx.network.declare`."""

    def __post_init__(self) -> None:
        def must(true: object, err: str, remedy: str) -> None:
            if not true:
                raise Invalid(f"{self.id or 'a declaration'}: {err}", field=self.module or None, remedy=remedy)

        must(self.id and self.id == self.id.lower() and " " not in self.id, "no proper id", "Write it as package.thing")
        must(self.section or self.reason, "neither a section nor a reason", "Say why the specification should have it")
        for name in ("service", "purpose", "when_blocked"):
            must(getattr(self, name), f"{name} is empty", "The operator who must allow it will ask")
        if not self.condition:
            must(isinstance(self.needed, When), "a condition without words", "Give condition=, or a When as needed=")
            object.__setattr__(self, "condition", self.needed.words)  # type: ignore[attr-defined]
        if not self.source:
            object.__setattr__(
                self, "source", f"specification, section {self.section}" if self.section else self.reason
            )
        if isinstance(self.host, str) and not is_template(self.host):
            checked_host(self.host, field=self.id)
        for host in self.behind:
            checked_host(host, field=self.id)
        for port in self.ports if isinstance(self.ports, tuple) else (self.ports,):
            if isinstance(port, int):
                checked_port(port, field=self.id)

    def targets(self, settings: Settings) -> tuple[Target, ...]:
        """Every host and port it stands for under these settings. Raises Invalid where the settings make no sense."""
        if isinstance(self.host, UnixSocket):
            return ()
        if isinstance(self.host, Group):
            return tuple(
                Target(str(self.host), port, self.path, self.host, self.behind) for port in self._ports(settings)
            )
        mirror = mirror_of(self.mirror, settings)
        found: dict[Target, None] = {}
        for address in self._addresses(settings):
            host, path = checked_host(address.host, field=self.id), address.path or self.path
            for port in (address.port,) if address.port else self._ports(settings):
                behind = self.behind if address.behind is None else address.behind
                target = Target(host, checked_port(port, field=self.id), path, None, behind, address.protocol)
                found[mirrored(target, mirror) if mirror else target] = None
        return tuple(found)

    def targets_or_none(self, settings: Settings) -> tuple[Target, ...]:
        """Like :meth:`targets`, for explanations: settings that make no sense give none."""
        try:
            return self.targets(settings)
        except CcxError:
            return ()

    def allows(self, host: str, port: int, settings: Settings) -> bool:
        """Whether a connection to ``host`` and ``port`` is what this declares, now."""
        host = host.strip("[]").rstrip(".").lower()
        return (
            self.direction is not Direction.INBOUND
            and self.needed(settings)
            and any(
                target.covers(host, port, settings)
                or (port == target.port and any(covers(name, host) for name in target.behind))
                for target in self.targets(settings)
            )
        )

    def check(self, host: str, port: int, settings: Settings) -> None:
        """For libraries that connect themselves. Raises :class:`UndeclaredConnection` unless :meth:`allows`."""
        if self.allows(host, port, settings):
            return
        from ccx.network.catalogue import load

        destination, caller = f"{host}:{port}", calling_module()
        closest = nearest(host, port, settings, load().values())
        if not self.needed(settings):
            err = f"{caller} may not connect to {destination}: {self.id} is needed only when {self.condition}"
            raise UndeclaredConnection(
                err, caller=caller, destination=destination, nearest=self, remedy="Turn it on in the settings first"
            )
        allowed = ", ".join(f"{t.host}:{t.port}" for t in self.targets(settings)) or "nothing under these settings"
        raise UndeclaredConnection(
            f"{caller} may not connect to {destination} by {self.id}, which allows {allowed}",
            caller=caller, destination=destination, nearest=closest,
        )  # fmt: skip

    def checked_url(self, url: str, settings: Settings) -> str:
        """``url`` as it is, for a library that takes one (``nats://…``, ``postgresql+psycopg://…``), once checked.

        A URL that names a unix socket (``…://user@/db?host=/run/…``) leaves the machine by no network and passes.
        """
        if "host=/" in url or "host=%2F" in url:
            return url
        address = parse_url(url, field=self.id)
        for port in (address.port,) if address.port else self._ports(settings):
            self.check(address.host, port, settings)
        return url

    def client(self, settings: Settings, **options: Any) -> httpx.AsyncClient:
        """An HTTP client that reaches what is declared here and nothing else, redirects included.

        ``options`` are ``httpx.AsyncClient``'s. The environment's proxies are not obeyed. For a single target
        ``base_url`` is set; with a unix socket the client talks through it, whatever host the URL names.
        """
        from ccx.network.http import make_client

        return make_client(self, settings, options)

    async def connect(
        self, host: str, settings: Settings, *, port: int | None = None, within: float = 10
    ) -> socket.socket:
        """A connected, non-blocking socket, for ``asyncssh.connect(sock=…)`` and the like.

        ``port`` may be left out where only one is declared. Raises OSError (TimeoutError after ``within`` seconds).
        """
        from ccx.network.dial import connect

        return await connect(self, host, settings, port, within)

    async def open_connection(
        self, host: str, settings: Settings, *, port: int | None = None, within: float = 10, **tls: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams over :meth:`connect`. ``tls`` is ``asyncio.open_connection``'s ``ssl`` and ``server_hostname``."""
        import asyncio

        connected = await self.connect(host, settings, port=port, within=within)
        if tls.get("ssl"):
            tls.setdefault("server_hostname", host)
        return await asyncio.open_connection(sock=connected, **tls)

    @property
    def proxied(self) -> bool:
        """Whether it goes by the egress proxy, where the settings name one: to hosts outside, by HTTP."""
        outward = self.plane in (Plane.CONTROL, Plane.DATA, Plane.INSTALL) and self.direction is Direction.OUTBOUND
        return outward and not isinstance(self.host, Group | UnixSocket) and not self.id.startswith("egress.")

    def by_proxy(self, settings: Settings) -> bool:
        """Whether it goes by the egress proxy under these settings. A mirror is inside the fence: it does not."""
        return bool(settings.egress_proxy) and self.proxied and mirror_of(self.mirror, settings) is None

    def socket_path(self, settings: Settings) -> str | None:
        """The unix socket it goes through; None when it is a network connection."""
        return str(self.host.path(settings)) if isinstance(self.host, UnixSocket) else None

    def _addresses(self, settings: Settings) -> Iterable[Address]:
        given: Any = self.host
        if isinstance(given, str):
            given = expand(given, settings, field=self.id) if is_template(given) else given
        else:
            given = given(settings)
        for entry in (given,) if isinstance(given, str | Address) else given:
            yield entry if isinstance(entry, Address) else Address(entry)

    def _ports(self, settings: Settings) -> tuple[int, ...]:
        ports = self.ports(settings) if callable(self.ports) else self.ports
        return ports if isinstance(ports, tuple) else (ports,)
