"""The settings' shape, in the names that operators already have in their values files and ``ccx.yaml``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ccx.settings.features import Kubernetes, License, Mirrors, Notify

_OWN_IMAGES = ("local", "simulated")
"""Types of clouds whose images we make."""


def _fires(cron: str) -> str:
    from cronsim import CronSim, CronSimError  # who keeps the defaults does without it

    try:
        if cron:
            next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        raise PydanticCustomError("cron", "this is no cron expression that ever fires") from None
    return cron


Cron = Annotated[str, AfterValidator(_fires)]
"""Five fields; empty: never."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Part):
    """A cloud's region: ``code`` is what requests name."""

    code: str
    name: str
    country_code: str = ""
    city: str = ""
    availability_zones: tuple[str, ...] = ()


class InstanceType(_Part):
    """A size of server. ``code`` is ours, ``type`` the cloud's own word; a request may use either."""

    code: str
    name: str
    type: str
    cpu: int = Field(ge=1)
    ram: int = Field(ge=1, description="GiB")
    price: float = 0.0


class VolumeType(_Part):
    """A kind of volume, with the sizes it can have (GiB)."""

    code: str
    name: str
    has_iops: bool = False
    min: int = 10
    max: int = 1000
    default: int = 80
    price: float = 0.0


class CloudConfig(_Part):
    """A cloud that datastores can be made on. ``type`` picks the driver (``local``, ``simulated``, ``aws`` ...)."""

    code: str
    type: str
    name: str
    regions: tuple[Region, ...]
    instance_types: tuple[InstanceType, ...]
    volume_types: tuple[VolumeType, ...]
    network_types: tuple[str, ...] = ("public",)
    endpoint: str = Field(default="", description="where the driver finds the cloud's API")
    service_endpoints: tuple[str, ...] = Field(
        default=(), description="OpenStack's services, where Keystone doesn't say"
    )
    s3_endpoint: str = Field(default="", description="<CODE>_S3_ENDPOINT: the object store for backups")
    s3: bool = Field(default=True, description="backups go to the cloud's own object store, where it has one")
    s3_bucket: str = Field(default="", description="<CODE>_S3_BUCKETNAME: it must exist; backups go below its prefix")
    s3_region: str = Field(default="", description="signed for; without, the first region on AWS, else us-east-1")
    s3_style: Literal["path", "virtual"] = Field(
        default="path", description="how the bucket is named: in the path, or before the endpoint's host"
    )
    s3_ca: Path | None = Field(default=None, description="CA that signs the endpoint; the system's own without")
    s3_insecure_ssl: bool = Field(default=False, description="<CODE>_S3_INSECURE_SSL: believe any certificate")
    s3_credentials: Path | None = Field(
        default=None, description="file of access key and secret key, a line each, mode 0600; or <CODE>_S3_ACCESSKEY"
    )
    s3_lock_days: int = Field(default=0, ge=0, description="days for which a backup can't be deleted by anybody")
    image: Literal["baked", "stock"] = Field(
        default="baked", description="what the local cloud's nodes start with: baked holds all packages, stock none"
    )

    @property
    def stock(self) -> bool:
        """Whether nodes start from an image with cloud-init only, and get their packages when they are made."""
        return self.image == "stock" or self.type not in _OWN_IMAGES


class TypeOfCluster(_Part):
    """A topology's code, as requests and answers carry it, and its display name."""

    code: str
    name: str


class Database(_Part):
    """A vendor on offer. ``versions`` oldest first: existing clients take the last."""

    code: str
    name: str
    versions: tuple[str, ...]
    num_nodes: tuple[int, ...]
    types: tuple[TypeOfCluster, ...]
    enabled: bool = True


class AutoRepair(_Part):
    """Replace a node that is lost for ``delay`` seconds."""

    enabled: bool = True
    delay: float = Field(default=300, gt=0, description="seconds")

    @property
    def after(self) -> timedelta:
        return timedelta(seconds=self.delay)


class Paths(_Part):
    """Where an instance keeps what it has."""

    etc: Path
    var: Path
    run: Path

    @classmethod
    def of(cls, instance: str) -> Paths:
        return cls(
            etc=Path("/etc/ccx") / instance, var=Path("/var/lib/ccx") / instance, run=Path("/run/ccx") / instance
        )


POSTGRES = Database(
    code="postgres",
    name="PostgreSQL",
    versions=("17",),
    num_nodes=(1, 2, 3),
    types=(TypeOfCluster(code="postgres_streaming", name="Streaming Replication"),),
)


class Settings(_Part):
    """Everything an operator can set. Built by :func:`ccx.settings.load`; a test may build its own."""

    instance: str = "default"
    paths: Paths
    fqdn: str = Field(default="ccx.localhost", description="ccxFQDN: the control plane's own name")
    user_domain: str = Field(default="db.ccx.localhost", description="ccx.userDomain: datastores' names end in it")
    cc_fqdn: str = Field(default="", description="ccFQDN: the ClusterControl console's name; opens 9501 and 9511")
    dsn: str = Field(default="", description="SQLAlchemy URL of the metadata database")
    nats_url: str = Field(default="", description="nats:// or tls://host:4222 of JetStream; a cluster's with commas")
    nats_credentials: Path | None = Field(default=None, description="file with 'user\\npassword', mode 0600")
    nats_ca: Path | None = Field(default=None, description="CA that a tls:// NATS is checked by; the system's without")
    control_address: str = Field(default="", description="the address at which nodes reach the control plane's 443")
    resolver_address: str = Field(default="", description="the DNS server that nodes and clients ask")
    public_url: str = Field(default="", description="the console's and API's URL, for users")
    client_address: str = Field(default="", description="the address that this machine's own clients appear from")
    node_network: str = Field(default="", description="CIDR that the datastores' nodes get their addresses from")
    clouds: tuple[CloudConfig, ...] = ()
    databases: tuple[Database, ...] = (POSTGRES,)
    auto_repair: AutoRepair = AutoRepair()
    state_interval: float = Field(
        default=60, gt=0, description="seconds between two comparisons of desired and observed"
    )
    external_dns_ttl: int = Field(default=5, ge=1, description="EXTERNAL_DNS_TTL, seconds")
    max_datastores_per_user: int = Field(default=50, ge=1, description="MAX_DATASTORES_PER_USER")
    max_sign_ups_per_address: int = Field(default=30, ge=1, description="in 15 minutes, refused ones included")
    guard: Literal["off", "audit", "enforce"] = Field(
        default="audit", description="of the control plane's undeclared connections: nothing; say so; refuse them too"
    )
    keep_history_days: int = Field(
        default=90,
        ge=1,
        description="days for which ended jobs and sent events are kept; each datastore's last job stays",
    )
    keep_audit_days: int = Field(
        default=400,
        ge=0,
        le=36500,
        description="days for which the audit of operators and the control plane is kept; 0: for ever",
    )
    cloud_init_timeout_minutes: float = Field(
        default=15, gt=0, description="CLOUD_INIT_TIMEOUT_MINUTES: in which a new node must report that it is set up"
    )
    backup_full: Cron = Field(
        default="0 4 * * *",
        description="BACKUP_FULL: cron, UTC, of full backups from a datastore's first on; empty: none",
    )
    backup_incremental: Cron = Field(
        default="0 * * * *", description="BACKUP_INCREMENTAL: the same of incremental ones"
    )
    backup_keep_days: int = Field(
        default=14,
        ge=0,
        description="days to any time of which a datastore can be restored; 0: only backup_keep_full says what is kept",
    )
    backup_keep_full: int = Field(
        default=2,
        ge=0,
        description="usable full backups that are kept however old they are; where both are 0, none is ever removed",
    )
    backup_keep_deleted_days: int = Field(
        default=14, ge=0, description="days for which a deleted datastore's backups are kept; 0: for ever"
    )
    restore_keep_days: int = Field(
        default=3, ge=1, description="days for which the data of before a restore in place are kept, if not confirmed"
    )
    backup_verify: Cron = Field(
        default="30 2 * * 0", description="cron, UTC, of reading all of a datastore's backups and log; empty: never"
    )
    backup_drill: Cron = Field(
        default="0 6 * * 6", description="cron, UTC, of restoring each datastore's newest backup; empty: never"
    )
    log_level: str = Field(default="info", pattern="(?i)^(debug|info|warn|warning|error|critical)$")
    kubernetes: Kubernetes = Kubernetes()
    notify: Notify = Notify()
    license: License = License()
    stripe: bool = Field(default=False, description="ccx.services.billing.stripe")
    piwik_url: str = Field(default="", description="REACT_APP_PIWIK_PRO_URL: the console's analytics; empty: off")
    mirror: Mirrors = Mirrors()
    egress_proxy: str = Field(default="", description="URL of the proxy that HTTP leaves by; empty: directly")
    percona_telemetry: bool = Field(default=False, description="let Percona's agent on the nodes call home")

    @property
    def embedded_database(self) -> bool:
        """Whether the metadata database is the one that ``ccx up`` runs."""
        return self.dsn == f"postgresql+psycopg://ccx@/ccx?host={self.paths.run / 'postgresql'}"

    @property
    def nats_servers(self) -> tuple[str, ...]:
        """The servers of ``nats_url``, one URL each."""
        return tuple(server.strip() for server in self.nats_url.split(",") if server.strip())

    def cloud(self, code: str) -> CloudConfig | None:
        """The cloud of that code, or None."""
        return next((c for c in self.clouds if c.code == code), None)

    def database(self, code: str) -> Database | None:
        """The vendor of that code, or None."""
        return next((d for d in self.databases if d.code == code and d.enabled), None)
