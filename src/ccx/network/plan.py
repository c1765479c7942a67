"""Settings to rows: what has to be open, and what it is for. A pure function; every output is a view of its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccx.errors import CcxError, Invalid
from ccx.network import catalogue
from ccx.network.endpoint import Endpoint
from ccx.network.hosts import covers
from ccx.network.kinds import GROUPS, Direction, Group, Mirror, Plane, Protocol, Status
from ccx.network.mirrors import proxy_of

if TYPE_CHECKING:
    from ccx.settings import Settings

_PLANES = list(Plane)


@dataclass(frozen=True)
class Row:
    """One host and port that has to be open. The attributes are the declaration's; see :class:`Endpoint`."""

    id: str
    section: int | None
    host: str
    """A name, ``*.name``, an address, or ``group:<name>``."""
    port: int
    protocol: Protocol
    direction: Direction
    plane: Plane
    service: str
    purpose: str
    required: bool
    condition: str
    when_blocked: str
    mirror: Mirror
    behind: tuple[str, ...]
    source: str
    status: Status
    path: str
    group: Group | None = None
    pod_port: int | None = None
    """The port on the pod, where a Kubernetes Service maps ``port`` to it."""
    via: str = ""
    """``host:port`` of the egress proxy that it goes by; empty: directly."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host and what stands behind it: all of them have to be allowed."""
        return (self.host, *self.behind)

    @property
    def where(self) -> str:
        """Host, port and path, as a person writes them."""
        return f"{self.host}:{self.port}{self.path}"


@dataclass(frozen=True)
class Plan:
    """The rows, sorted by plane, section and id, and what the settings know about groups."""

    rows: tuple[Row, ...]
    groups: Mapping[Group, tuple[str, ...]] = field(default_factory=dict)
    settings: Settings | None = field(default=None, repr=False, compare=False)
    """What it was made for; None for a plan that was read from a file."""

    def select(
        self,
        *planes: Plane,
        direction: Direction | None = None,
        status: Status | None = None,
    ) -> tuple[Row, ...]:
        """The rows of these planes (none given: of all), in that direction and of that status where one is given."""
        return tuple(
            row
            for row in self.rows
            if (not planes or row.plane in planes)
            and (direction is None or row.direction is direction)
            and (status is None or row.status is status)
        )

    def find(self, host: str, port: int | None = None) -> tuple[Row, ...]:
        """The rows that cover a destination; the members of groups count as far as the settings know them."""
        return tuple(
            row
            for row in self.rows
            if port in (None, row.port) and any(covers(name, host) for name in (*self._members(row), *row.hosts))
        )

    def _members(self, row: Row) -> tuple[str, ...]:
        return self.groups.get(row.group, ()) if row.group else ()


def plan(
    settings: Settings, endpoints: Iterable[Endpoint] | None = None, *, problems: list[CcxError] | None = None
) -> Plan:
    """What ``settings`` need. ``endpoints`` are the whole catalogue unless given.

    Raises Invalid where settings can't be right: a host that is none, a cloud that no declaration knows. With a list of
    ``problems``, these are put there, and the plan is that of the rest.
    """
    known = list(catalogue.load().values() if endpoints is None else endpoints)
    rows: list[Row] = []
    try:
        if endpoints is None:
            _refuse_unknown_clouds(settings, known)
    except CcxError as problem:
        _keep(problem, problems)
    for endpoint in known:
        try:
            rows += _rows(endpoint, settings) if endpoint.needed(settings) else ()
        except CcxError as problem:
            _keep(problem, problems)
    rows.sort(key=lambda r: (_PLANES.index(r.plane), r.section or 99, r.id, r.host, r.port))
    return Plan(tuple(rows), {group: members for group in GROUPS if (members := group.members(settings))}, settings)


def _keep(problem: CcxError, problems: list[CcxError] | None) -> None:
    if problems is None:
        raise problem
    problems.append(problem)


def _rows(endpoint: Endpoint, settings: Settings) -> Iterable[Row]:
    via = proxy_of(settings) if endpoint.by_proxy(settings) else ""
    for target in endpoint.targets(settings):
        protocol = target.protocol or endpoint.protocol
        yield Row(
            id=endpoint.id, section=endpoint.section, host=target.host, port=target.port, protocol=protocol,
            direction=endpoint.direction, plane=endpoint.plane, service=endpoint.service,
            purpose=f"{endpoint.purpose} (mirror of {target.mirror_of})" if target.mirror_of else endpoint.purpose,
            required=endpoint.required, condition=endpoint.condition, when_blocked=endpoint.when_blocked,
            mirror=endpoint.mirror, behind=target.behind, source=endpoint.source, status=endpoint.status,
            path=target.path, group=target.group, pod_port=endpoint.pod_port,
            via=via if protocol in (Protocol.HTTPS, Protocol.HTTP) else "",
        )  # fmt: skip


def _refuse_unknown_clouds(settings: Settings, endpoints: list[Endpoint]) -> None:
    types = {endpoint.id.split(".")[1] for endpoint in endpoints if endpoint.id.startswith("cloud.")}
    for index, cloud in enumerate(settings.clouds):
        if cloud.type not in types:
            raise Invalid(
                f"the contract has no rows for a cloud of type {cloud.type!r}: its plan would be empty",
                field=f"clouds.{index}.type", remedy=f"Types are: {', '.join(sorted(types))}",
            )  # fmt: skip
