"""The firewall page of the documentation: every row that there can be. ``python -m ccx.network.page`` prints it."""

from __future__ import annotations

import sys

from ccx.network.plan import plan
from ccx.network.render import render
from ccx.settings import CloudConfig, Database, Paths, Region, Settings, TypeOfCluster
from ccx.settings.features import ExternalDns, Kubernetes, License, Notify

_INTRODUCTION = """\
# What to open in a firewall

Every connection that CCX makes or accepts, generated from the declarations in the code; the settings of an
installation decide which of them it needs. Several names in a cell: the first hands out connections to the others, so
allow them all. § is the section of the specification, *ours* is what it leaves out; *(planned)*: the service is not
built yet, and nothing connects. Hosts that depend on settings stand here with example values.

Where we differ from the specification:

- Images come from more registries than it lists: the charts' sub-charts pull from `ghcr.io`, `quay.io`,
  `registry.k8s.io` and others. A registry's name alone pulls nothing: its token and blob hosts have to be allowed too.
- Chart repositories are needed at each upgrade, not the first time only. Those on GitHub Pages hold an index; the
  archives come from `github.com`.
- Nodes need Ubuntu's mirrors and the hosts of the repositories' signing keys.
- Both the control plane and the nodes need the object store.
- Percona's telemetry is off unless asked for.
- The licence row follows `S9S_LICENSE_SERVER_URL`, and goes when `cmon.license` is set.

"""


def everything() -> Settings:
    """Settings with all of it on: the largest plan there is."""
    kinds = (TypeOfCluster(code="x", name="X"),)
    databases = {"postgres": ("17",), "mariadb": ("11.8",), "percona": ("8.0", "8.4")}
    endpoints = {
        "local": "", "simulated": "", "aws": "", "gcp": "", "openstack": "https://keystone.example:5000",
        "vmware": "https://vcenter.example", "vcd": "https://vcd.example", "cloudstack": "https://cloudstack.example",
        "zadara": "https://zadara.example",
    }  # fmt: skip
    return Settings(
        paths=Paths.of("default"),
        clouds=tuple(
            CloudConfig(
                code=type_, type=type_, name=type_, instance_types=(), volume_types=(), endpoint=endpoint,
                regions=(Region(code="eu-west-1", name="eu-west-1"),),
                s3_endpoint="https://s3.example" if type_ == "openstack" else "",
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
    return _INTRODUCTION + render(plan(everything()), "markdown")


if __name__ == "__main__":
    sys.stdout.write(page())
