"""Section 1: image registries and chart repositories of an installation on Kubernetes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Mirror, Plane, Protocol, Status, When, declare
from ccx.network.hosts import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ccx.settings import Settings

KUBERNETES = When(lambda s: s.kubernetes.enabled, "installed on Kubernetes")
_CERT_MANAGER = When(lambda s: s.kubernetes.cert_manager, "cert-manager.enabled")
_MYSQL = When(
    lambda s: s.kubernetes.mysql_operator or s.kubernetes.mysql_innodbcluster,
    "oracle-mysql-operator.enabled or mysql-innodbcluster.enabled",
)
_EXTERNAL_DNS = When(lambda s: s.kubernetes.external_dns.enabled, "external-dns.enabled")

_BEHIND = {
    "docker.io": (
        "registry-1.docker.io", "auth.docker.io", "production.cloudflare.docker.com",
        "production.cloudfront.docker.com",
        "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
    ),
    "quay.io": ("cdn.quay.io", *(f"cdn0{number}.quay.io" for number in range(1, 7))),
    "ghcr.io": ("pkg-containers.githubusercontent.com",),
    "eu.gcr.io": ("storage.googleapis.com",),
}  # fmt: skip
_PAGES = ("github.com", "release-assets.githubusercontent.com")
_REDIRECTS = "registry.k8s.io redirects to cloud buckets that change: mirror it"


def _image(
    id_: str, registry: str, path: str, purpose: str, *, when: When = KUBERNETES, section: int | None = 1,
    required: bool = True, reason: str = "", source: str = "",
) -> None:  # fmt: skip
    declare(
        id=f"images.{id_}", section=section, host=registry, ports=443, path=path, protocol=Protocol.HTTPS,
        direction=Direction.OUTBOUND, plane=Plane.CONTROL,
        needed=when if when is KUBERNETES else KUBERNETES & when, required=required,
        service="Kubernetes", purpose=purpose, mirror=Mirror.IMAGE_REGISTRY, behind=_BEHIND.get(registry, ()),
        when_blocked="pods that need the image stay in ImagePullBackOff; set global.imageRegistry to a mirror",
        status=Status.PLANNED, reason=reason, source=source,
    )  # fmt: skip


_image("backend", "eu.gcr.io", "/brave-night-121210",
       "all CCX backend services (stores, runner, rest, auth, notify, billing, monitor, state-worker), cmon",
       source="specification, section 1; blobs from storage.googleapis.com: not sure")  # fmt: skip
_image("backend-current", "europe-docker.pkg.dev", "/severalnines-public/ccx", "the backend, in current charts",
       section=None, reason="Current charts take the backend from here, not from eu.gcr.io")  # fmt: skip
_image("clustercontrol", "europe-docker.pkg.dev", "/severalnines-public/clustercontrol", "ccmgr, kuber-proxy")
_image("severalnines", "docker.io", "/severalnines", "cmon, cmon-sd, cmon exporter (cmon_exporter-linux-amd64)")
_image("curl", "docker.io", "/curlimages/curl", "ccx-migrate-cloud-credentials init job (hardcoded in its template)")
_image("keycloak", "docker.io", "/bitnamilegacy", "Keycloak (bitnamilegacy/keycloak)")
_image(
    "kubectl", "docker.io", "/bitnami", "kubectl in the mysql-innodb-patch job (bitnami/kubectl:latest)", required=False
)
_image("mysql", "docker.io", "/library/mysql", "mysql exporter init container (mysql:8.4)", required=False)
_image("postgres-exporter", "docker.io", "/prometheuscommunity", "postgres-exporter (v0.15.0)", required=False)

_SUBCHARTS = "Pulled by the charts' sub-charts, which the specification leaves out"
_image("ghcr", "ghcr.io", "", "the Zalando operator and Spilo", section=None, reason=_SUBCHARTS)
_image("zalando", "registry.opensource.zalan.do", "", "pgbouncer", section=None, reason=_SUBCHARTS)
_image("k8s", "registry.k8s.io", "", "ingress-nginx, external-dns", section=None, reason=_SUBCHARTS, source=_REDIRECTS)
_image("quay", "quay.io", "", "cert-manager, Alertmanager, and postgres-exporter in current charts", section=None,
       reason=_SUBCHARTS, source="the charts; cdn04 to cdn06 are not sure")  # fmt: skip
_image("hub", "docker.io", "", "nats, natsio/*, victoriametrics/*, grafana/loki, prom/mysqld-exporter, busybox",
       section=None, reason=_SUBCHARTS)  # fmt: skip
_image("oracle", "container-registry.oracle.com", "", "MySQL operator", when=_MYSQL, section=None, reason=_SUBCHARTS,
       source="the charts; hosts of its blobs are not known: mirror it")  # fmt: skip


KNOWN_REGISTRIES = ("docker.io", "europe-docker.pkg.dev", "eu.gcr.io", "ghcr.io", "quay.io", "registry.k8s.io",
                    "registry.opensource.zalan.do", "container-registry.oracle.com")  # fmt: skip


def registry_of(image: str) -> str:
    """The registry of an image's reference: what is before the first slash, if it looks like a host."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def _own(settings: Settings) -> Iterable[Address]:
    for path, image in settings.kubernetes.images:
        if (registry := registry_of(image)) not in KNOWN_REGISTRIES:
            found = parse_url(registry, field=path)
            yield Address(found.host, found.port)


declare(
    id="images.own", section=None, reason="Values name images of a registry that the charts don't use", host=_own,
    ports=443, protocol=Protocol.HTTPS, direction=Direction.OUTBOUND, plane=Plane.CONTROL, mirror=Mirror.IMAGE_REGISTRY,
    needed=KUBERNETES & When(lambda s: any(registry_of(i) not in KNOWN_REGISTRIES for _, i in s.kubernetes.images),
                             "an image is set to another registry"),
    service="Kubernetes", purpose="images that the values name", status=Status.PLANNED,
    when_blocked="pods that need the image stay in ImagePullBackOff; set global.imageRegistry to a mirror",
)  # fmt: skip


def _chart(
    id_: str, host: str, path: str, chart: str, *, when: When = KUBERNETES, behind: tuple[str, ...] = (),
    section: int | None = 1, reason: str = "",
) -> None:  # fmt: skip
    declare(
        id=f"charts.{id_}", section=section, reason=reason, host=host, ports=443, protocol=Protocol.HTTPS,
        direction=Direction.OUTBOUND, plane=Plane.INSTALL,
        needed=when if when is KUBERNETES else KUBERNETES & when, required=when is KUBERNETES,
        service="helm", purpose=f"chart {chart}, at install and upgrade", mirror=Mirror.CHART_REPOSITORY, path=path,
        behind=behind, when_blocked="helm dependency update stops at this chart; nothing that runs is affected",
        status=Status.PLANNED,
    )  # fmt: skip


_chart(
    "postgres-operator", "opensource.zalando.com", "/postgres-operator/charts/postgres-operator", "postgres-operator"
)
_chart("ingress-nginx", "kubernetes.github.io", "/ingress-nginx", "ingress-nginx", behind=_PAGES)
_chart("nats", "nats-io.github.io", "/k8s/helm/charts/", "nats", behind=_PAGES)
_chart("external-dns", "kubernetes-sigs.github.io", "/external-dns/", "external-dns", when=_EXTERNAL_DNS, behind=_PAGES)
_chart("mysql-operator", "mysql.github.io", "/mysql-operator/", "mysql-operator, mysql-innodbcluster", when=_MYSQL)
_chart("ccx-monitoring", "severalnines.github.io", "/helm-charts/", "ccx-monitoring", behind=_PAGES)
_chart("keycloak", "registry-1.docker.io", "/bitnamicharts", "keycloak", behind=_BEHIND["docker.io"][1:])
_chart("mysql-current", "ghcr.io", "/severalnines/charts", "mysql-operator, mysql-innodbcluster, in current charts",
       when=_MYSQL, behind=_BEHIND["ghcr.io"], section=None,
       reason="Current charts take the MySQL charts from here")  # fmt: skip
_chart("cert-manager", "quay.io", "/jetstack/charts", "cert-manager", when=_CERT_MANAGER, behind=_BEHIND["quay.io"])
