"""What the specification leaves out and an operator needs, for services and engines that are not built yet."""

from __future__ import annotations

from ccx.network import (
    CONTROL_PLANE,
    NODES,
    USERS,
    Direction,
    Group,
    Plane,
    Protocol,
    Status,
    When,
    declare,
    for_vendor,
)
from ccx.network.planned.images import KUBERNETES
from ccx.network.planned.packages import STOCK_NODES

_MYSQL_FAMILY = for_vendor("mariadb", "percona")
_ACME = KUBERNETES & When(lambda s: s.kubernetes.cert_manager, "cert-manager.enabled")


def _internal(id_: str, host: str, port: int, service: str, purpose: str, when: When = KUBERNETES) -> None:
    declare(
        id=f"internal.{id_}", section=None, reason="An internal flow that the specification's list lacks",
        host=host, ports=port, protocol=Protocol.TCP if port == 3306 else Protocol.HTTP, direction=Direction.INTERNAL,
        plane=Plane.INTERNAL, needed=when, service=service, purpose=purpose, status=Status.PLANNED,
        when_blocked="what needs this service fails and is retried; datastores go on",
    )  # fmt: skip


_internal("cmon-db", "mysql", 3306, "cmon", "cmon's own database")
_internal("alertmanager", "alertmanager", 9093, "Alertmanager", "sends alerts to the listener")
_internal("loki", "loki", 3100, "Loki", "logs of nodes and services")
_internal("auth", "ccx-auth-service", 5050, "ccx-auth-service", "log-in and users")
_internal("billing", "ccx-billing-service", 18077, "ccx-billing-service", "metering and billing")

declare(
    id="kubernetes.api", section=None, reason="Annotated Services need the Kubernetes API; the specification omits it",
    host="kubernetes.default.svc", ports=443, protocol=Protocol.HTTPS, direction=Direction.INTERNAL,
    plane=Plane.INTERNAL, needed=KUBERNETES, service="ccx-runner-service", status=Status.PLANNED, pod_port=6443,
    purpose="makes the Services that external-dns publishes (6443 where the API is reached directly)",
    when_blocked="names are not published and don't follow a failover; addresses do work",
)  # fmt: skip

declare(
    id="acme.directory", section=None, reason="cert-manager gets certificates by ACME; the specification omits it",
    host="acme-v02.api.letsencrypt.org", ports=443, protocol=Protocol.HTTPS, direction=Direction.OUTBOUND,
    plane=Plane.CONTROL, needed=_ACME, required=False, service="cert-manager", status=Status.PLANNED,
    purpose="issues and renews the public certificate",
    when_blocked="the certificate is not renewed and expires; give one of your own instead",
)  # fmt: skip

declare(
    id="acme.challenge", section=None, reason="ACME's HTTP-01 challenge comes in; the specification omits it",
    host=USERS, ports=80, protocol=Protocol.HTTP, direction=Direction.INBOUND, plane=Plane.CONTROL, needed=_ACME,
    required=False, service="cert-manager", purpose="answers HTTP-01 challenges", status=Status.PLANNED,
    when_blocked="the certificate is not issued by HTTP-01; use DNS-01, or a certificate of your own",
)  # fmt: skip

declare(
    id="node.ntp", section=None, reason="TLS and failover need clocks that agree; the specification omits NTP",
    host="ntp.ubuntu.com", ports=123, protocol=Protocol.UDP, direction=Direction.OUTBOUND, plane=Plane.DATA,
    needed=STOCK_NODES, required=False, service="systemd-timesyncd", purpose="keeps the node's clock",
    status=Status.PLANNED,
    when_blocked="the clock drifts unless the cloud sets it; certificates may be taken for not yet valid",
)  # fmt: skip


declare(
    id="control.ntp", section=None, reason="Certificates need clocks that agree; the specification omits NTP",
    host="ntp.ubuntu.com", ports=123, protocol=Protocol.UDP, direction=Direction.OUTBOUND, plane=Plane.CONTROL,
    needed=KUBERNETES, required=False, service="the cluster's nodes", purpose="keeps the clock", status=Status.PLANNED,
    when_blocked="the clock drifts unless something else sets it; certificates may be taken for not yet valid",
)  # fmt: skip

declare(
    id="node.logs", section=None, reason="Fluent Bit sends nodes' logs; the specification names no destination",
    host=CONTROL_PLANE, ports=443, protocol=Protocol.HTTPS, direction=Direction.OUTBOUND, plane=Plane.DATA,
    needed=STOCK_NODES, required=False, service="Fluent Bit", purpose="sends logs to the control plane",
    status=Status.PLANNED, when_blocked="logs wait in Fluent Bit's buffer, then are dropped; databases go on",
)  # fmt: skip

declare(
    id="node.agent-metrics", section=None, reason="Metrics of nodes are scraped; the specification omits it",
    host=NODES, ports=9011, protocol=Protocol.HTTP, direction=Direction.OUTBOUND, plane=Plane.CONTROL,
    needed=STOCK_NODES, required=False, service="Victoria Metrics", purpose="the agent's metrics",
    status=Status.PLANNED, when_blocked="dashboards lack the agent's metrics",
)  # fmt: skip

declare(
    id="rest.redirect", section=None, reason="Ingress answers HTTP with a redirect; the specification omits inbound",
    host=USERS, ports=80, protocol=Protocol.HTTP, direction=Direction.INBOUND, plane=Plane.CONTROL, needed=KUBERNETES,
    required=False, service="ingress-nginx", purpose="sends browsers on to HTTPS", status=Status.PLANNED,
    when_blocked="people must write https:// themselves",
)  # fmt: skip

for _id, _port, _protocol, _purpose in (
    ("rpc", 9501, Protocol.HTTPS, "the ClusterControl console's RPC"),
    ("ssh", 9511, Protocol.TCP, "terminals on nodes, through cmon's SSH proxy"),
    ("clusters", 50051, Protocol.GRPC, "customers' Kubernetes clusters attach to kuber-proxy"),
):
    declare(
        id=f"cc.{_id}", section=None, host=USERS, ports=_port, protocol=_protocol, direction=Direction.INBOUND,
        reason="The specification calls this in-cluster only; with ccFQDN set it is exposed", plane=Plane.CONTROL,
        needed=KUBERNETES & When(lambda s: bool(s.cc_fqdn), "ccFQDN is set"), required=False, service="cmon",
        purpose=_purpose, status=Status.PLANNED, when_blocked="only what is in its purpose; datastores go on",
    )  # fmt: skip


def _mysql(
    id_: str, host: Group, ports: int | tuple[int, ...], plane: Plane, way: Direction, service: str, purpose: str,
    blocked: str, required: bool = True, needed: When = _MYSQL_FAMILY,
) -> None:  # fmt: skip
    declare(
        id=f"mysql.{id_}", section=None, reason="Connections to and between nodes are not in the specification",
        host=host, ports=ports, protocol=Protocol.TCP, direction=way, plane=plane, needed=needed,
        service=service, purpose=purpose, when_blocked=blocked, required=required, status=Status.PLANNED,
    )  # fmt: skip


_mysql("exporter", NODES, 9104, Plane.CONTROL, Direction.OUTBOUND, "Victoria Metrics", "MySQL's metrics",
       "dashboards have no MySQL metrics", required=False)  # fmt: skip
