"""What can be switched on: Kubernetes' extras, notifications, billing, the licence. All off by default."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Feature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExternalDns(Feature):
    """``external-dns`` of the ccxdeps chart."""

    enabled: bool = False
    provider: str = Field(default="", description="external-dns.provider.name: aws, azure, cloudflare, google ...")
    api: str = Field(default="", description="URL of the provider's API, where it is none of the known ones")


class Kubernetes(Feature):
    """An installation by the Helm charts, as opposed to ``ccx up`` on one machine."""

    enabled: bool = False
    image_registry: str = Field(default="", description="global.imageRegistry (host:port): the mirror of all images")
    images: tuple[tuple[str, str], ...] = Field(default=(), description="images that values name: (path, reference)")
    cert_manager: bool = Field(default=False, description="cert-manager.enabled")
    mysql_operator: bool = Field(default=False, description="oracle-mysql-operator.enabled")
    mysql_innodbcluster: bool = Field(default=False, description="mysql-innodbcluster.enabled")
    external_dns: ExternalDns = ExternalDns()


class Notify(Feature):
    """Notification channels, by the notify worker's environment."""

    email_enabled: bool = Field(default=False, description="ENABLE_EMAIL")
    smtp_host: str = Field(default="", description="SMTP_HOST")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="SMTP_PORT")
    slack_enabled: bool = Field(default=False, description="ENABLE_SLACK")
    slack_url: str = Field(default="", repr=False, description="SLACK_URL; its path is a secret")
    slack_channel: bool = Field(default=False, description="SLACK_CHANNEL is set, which a web hook would ignore")
    pagerduty_enabled: bool = Field(default=False, description="ENABLE_PAGERDUTY")
    pagerduty_url: str = Field(default="", description="PAGERDUTY_URL, for accounts outside of the US")


class License(Feature):
    """The ClusterControl licence."""

    preset: bool = Field(default=False, description="cmon.license is set")
    server_url: str = Field(
        default="https://severalnines.com/service/lic.php", description="S9S_LICENSE_SERVER_URL, for the trial"
    )


class Mirrors(Feature):
    """What stands in, inside the fence, for hosts outside. Images have ``kubernetes.image_registry``."""

    packages: str = Field(default="", description="URL of the APT mirror, which keeps the vendors' own paths")
    key: str = Field(
        default="",
        description="file with the public keys, ASCII armoured, that sign what nodes install; empty: the vendors' own",
    )
    charts: str = Field(default="", description="URL of the chart repositories' mirror")
