"""The firewall page of the documentation: every row that there can be. ``python -m ccx.network.page`` prints it."""

from __future__ import annotations

import sys
from importlib.resources import files

from ccx.network.plan import plan
from ccx.network.render import render
from ccx.settings import CloudConfig, Database, Paths, Region, Settings, TypeOfCluster
from ccx.settings.features import ExternalDns, Kubernetes, License, Notify


def everything() -> Settings:
    """Settings with all of it on: the largest plan there is."""
    kinds = tuple(TypeOfCluster(code=code, name=code) for code in ("replication", "galera"))
    databases = {"postgres": ("17",), "mariadb": ("11.8",), "percona": ("8.0", "8.4")}
    endpoints = {
        "local": "", "simulated": "", "aws": "", "gcp": "", "openstack": "https://keystone.example:5000",
        "vmware": "https://vcenter.example", "vcd": "https://vcd.example", "cloudstack": "https://cloudstack.example",
        "zadara": "https://zadara.example",
    }  # fmt: skip
    return Settings(
        paths=Paths.of("default"),
        dsn="postgresql+psycopg://ccx@/ccx?host=/run/ccx/default/postgresql",
        clouds=tuple(
            CloudConfig(
                code=type_, type=type_, name=type_, instance_types=(), volume_types=(), endpoint=endpoint,
                regions=(Region(code="eu-west-1", name="eu-west-1"),),
                s3_endpoint="https://s3.example" if type_ == "openstack" else "",
                image="stock" if type_ == "local" else "baked",
            )
            for type_, endpoint in endpoints.items()
        ),
        databases=tuple(
            Database(code=code, name=code, versions=versions, num_nodes=(1, 3), types=kinds)
            for code, versions in databases.items()
        ),
        kubernetes=Kubernetes(
            enabled=True, cert_manager=True, mysql_operator=True, mysql_innodbcluster=True,
            external_dns=ExternalDns(enabled=True, provider="aws"),
        ),
        notify=Notify(email_enabled=True, smtp_host="smtp.example", slack_enabled=True, pagerduty_enabled=True),
        license=License(preset=False), stripe=True, piwik_url="https://severalnines.piwik.pro", percona_telemetry=True,
    )  # fmt: skip


def page() -> str:
    """``docs/operate/firewall.md``."""
    introduction = files("ccx.network").joinpath("page_introduction.md").read_text()
    return introduction + render(plan(everything()), "markdown")


if __name__ == "__main__":
    sys.stdout.write(page())
