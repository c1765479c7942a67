"""The specification's rows and lines, each with what serves and proves it. ``python -m ccx.network.specification``
prints the page of the documentation."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ccx.network import catalogue
from ccx.network.kinds import Status

_SECTIONS = {
    0: "Introduction",
    1: "Container image registries", 2: "Licence server", 3: "Package repositories of nodes", 4: "Backup storage",
    5: "Notification services", 6: "Stripe", 7: "Analytics and CDN", 8: "Internal services", 9: "Cloud APIs",
    10: "External DNS",
}  # fmt: skip
_ROWS = "tests/unit/test_network_planned.py"
_FORMATS = "tests/unit/test_network_formats.py"
_VALUES = "tests/unit/test_settings_values.py"
_EVERY = f"{_ROWS}::test_every_row_of_the_specification_is_in_the_largest_plan"
_PATHS = f"{_ROWS}::test_every_path_that_a_mirror_needs_is_there"
_TICKS = f"{_FORMATS}::test_lines_are_ticked_from_settings"


@dataclass(frozen=True)
class Item:
    """A row, line or statement of the specification."""

    section: int | None
    """None: of the summary checklist."""
    words: str
    ids: tuple[str, ...] = ()
    """The declarations that are it. Their status is its state."""
    test: str = _EVERY
    code: str = ""
    """A file below the source folder, where it is no declaration."""
    built: bool = True
    """Whether ``code`` does it; declarations know themselves."""


ITEMS = (
    Item(0, "two planes, control and data, with requirements of their own", (),
         "tests/unit/test_network_plan.py::test_rows_are_selected_by_plane_and_direction", "network/kinds.py"),
    Item(0, "allowlists and mirror plans are built from it", (),
         f"{_FORMATS}::test_every_format_is_a_function_of_the_plan_and_ends_its_last_line",
         "network/render/__init__.py"),
    Item(1, "eu.gcr.io/brave-night-121210", ("images.backend",), _PATHS),
    Item(1, "europe-docker.pkg.dev/severalnines-public/clustercontrol (helm-ccx and clustercontrol)",
         ("images.clustercontrol",), _PATHS),
    Item(1, "docker.io/severalnines (helm-ccx and clustercontrol)", ("images.severalnines",), _PATHS),
    Item(1, "curlimages/curl", ("images.curl",)),
    Item(1, "docker.io/bitnamilegacy", ("images.keycloak",), _PATHS),
    Item(1, "docker.io/bitnami", ("images.kubectl",)),
    Item(1, "docker.io/mysql", ("images.mysql",)),
    Item(1, "docker.io/prometheuscommunity", ("images.postgres-exporter",)),
    Item(1, "chart postgres-operator", ("charts.postgres-operator",)),
    Item(1, "chart ingress-nginx", ("charts.ingress-nginx",)),
    Item(1, "chart nats", ("charts.nats",)),
    Item(1, "chart external-dns", ("charts.external-dns",)),
    Item(1, "charts mysql-operator and mysql-innodbcluster", ("charts.mysql-operator",)),
    Item(1, "chart ccx-monitoring", ("charts.ccx-monitoring",)),
    Item(1, "chart keycloak", ("charts.keycloak",)),
    Item(1, "chart cert-manager", ("charts.cert-manager",)),
    Item(1, "images move to an internal registry", (),
         f"{_ROWS}::test_every_row_moves_to_the_mirrors_that_the_settings_name", "network/mirrors.py"),
    Item(1, "chart repositories: at install and upgrade, not at run time", (),
         f"{_FORMATS}::test_what_browsers_and_installers_reach_is_opened_on_no_server", "network/planned/images.py"),
    Item(2, "severalnines.com/service/lic.php", ("license.trial",)),
    Item(2, "cmon.license set: no call; base64 in one chart, plain in the other", (),
         f"{_VALUES}::test_the_other_charts_form_is_refused_by_name", "settings/values/licence.py"),
    Item(2, "cmon.license not set: fetched when the first user registers; blocked, registration goes on", (),
         f"{_FORMATS}::test_findings_stand_in_the_checklist", "network/planned/license_server.py", built=False),
    Item(2, "in an air gap: always set cmon.license", (), f"{_FORMATS}::test_findings_stand_in_the_checklist",
         "network/findings.py"),
    Item(3, "Severalnines' agent", ("packages.s9s",), _PATHS),
    Item(3, "MariaDB", ("packages.mariadb",)),
    Item(3, "Percona 8.0: ps, pxc, pxb", ("packages.ps-80", "packages.pxc-80", "packages.pxb-80"), _PATHS),
    Item(3, "Percona 8.4: ps, pxc, pxb", ("packages.ps-84-lts", "packages.pxc-84-lts", "packages.pxb-84-lts"), _PATHS),
    Item(3, "Percona telemetry (8.0 and 8.4)", ("packages.percona-telemetry",), _PATHS),
    Item(3, "PostgreSQL (PGDG)", ("packages.postgresql",),
         "tests/e2e/test_stock_image.py::"
         "test_a_datastore_from_the_stock_image_installs_itself_through_the_mirror_and_serves"),
    Item(3, "Fluent Bit", ("packages.fluentbit",)),
    Item(3, "Ubuntu's mirrors", ("packages.ubuntu", "packages.ubuntu-security", "packages.ubuntu-ports",
                                 "packages.ubuntu-ec2"), f"{_ROWS}::test_what_the_specification_omits_is_there"),
    Item(3, "allowed through, or mirrored by an internal APT proxy", (),
         "tests/integration/test_mirror.py::"
         "test_a_mirror_that_was_filled_serves_all_that_nodes_ask_for_under_the_vendors_paths",
         "network/mirror/sync.py"),
    Item(4, "AWS S3, from control plane and nodes", ("backup.s3-aws.control", "backup.s3-aws.data")),
    Item(4, "custom S3-compatible endpoint", ("backup.s3.control", "backup.s3.data")),
    Item(4, "in an air gap: an internal store, by the endpoint of the cloud's backup storage", (),
         f"{_VALUES}::test_the_environment_says_where_a_clouds_api_and_store_are", "settings/values/clouds.py"),
    Item(5, "SMTP", ("notify.smtp",)),
    Item(5, "Slack", ("notify.slack",)),
    Item(5, "PagerDuty", ("notify.pagerduty",)),
    Item(5, "all three are off by default", (), f"{_ROWS}::test_what_is_optional_is_not_in_a_bare_plan",
         "settings/features.py"),
    Item(5, "each by its environment variables", (), f"{_VALUES}::test_email_needs_a_server_and_a_port_that_exists",
         "settings/values/environment.py"),
    Item(6, "off by default", (), f"{_ROWS}::test_what_is_optional_is_not_in_a_bare_plan", "settings/model.py"),
    Item(6, "in an air gap: leave it off", (), f"{_FORMATS}::test_findings_stand_in_the_checklist",
         "network/findings.py"),
    Item(6, "api.stripe.com", ("billing.stripe",)),
    Item(6, "js.stripe.com, allowed by the console's CSP", ("billing.stripe-js",),
         f"{_FORMATS}::test_the_consoles_policy_has_stripes_hosts_only_with_stripe"),
    Item(7, "severalnines.piwik.pro", ("browser.analytics",)),
    Item(7, "st.s9s.io", ("browser.assets",)),
    Item(7, "browsers' own: no rule on any server", (),
         f"{_FORMATS}::test_what_browsers_and_installers_reach_is_opened_on_no_server", "network/render/perimeter.py"),
    Item(8, "in-cluster only: no external rule", (),
         f"{_FORMATS}::test_what_services_ask_of_each_other_is_in_no_rule_of_an_outer_firewall",
         "network/render/perimeter.py"),
    Item(8, "cmon RPC API, 9501", ("internal.cmon-rpc",)),
    Item(8, "cmon legacy API, 9500", ("internal.cmon-legacy",)),
    Item(8, "cmon SSH proxy, 9511", ("internal.cmon-ssh",)),
    Item(8, "cmon cloud, 9518", ("internal.cmon-cloud",)),
    Item(8, "cmon exporter, 9954", ("internal.cmon-exporter",)),
    Item(8, "cmon-sd, 8080", ("internal.cmon-sd",)),
    Item(8, "ccmgr, 19051", ("internal.ccmgr",)),
    Item(8, "kuber-proxy HTTP, 8081", ("internal.kuber-proxy-http",)),
    Item(8, "kuber-proxy gRPC, 50051", ("internal.kuber-proxy-grpc",)),
    Item(8, "ccx-stores gRPC, 20001 to 20003", ("internal.stores",)),
    Item(8, "ccx-stores listener, 18097", ("internal.stores-listener",)),
    Item(8, "ccx-rest-user, 18091", ("rest.user",)),
    Item(8, "Victoria Metrics / Prometheus, 9090", ("internal.metrics",),
         f"{_ROWS}::test_pods_ports_are_known_where_they_differ"),
    Item(8, "Keycloak, 80", ("internal.keycloak",), f"{_ROWS}::test_pods_ports_are_known_where_they_differ"),
    Item(8, "NATS JetStream, 4222", ("state.nats",)),
    Item(8, "PostgreSQL (CCX DB), 5432", ("db.postgresql",)),
    Item(9, "AWS: ec2 and s3 of each region; private endpoints", ("cloud.aws.ec2", "cloud.aws.s3"),
         f"{_ROWS}::test_settings_urls_decide_host_port_path_and_protocol"),
    Item(9, "OpenStack: Keystone, Nova, Cinder, Neutron, Glance",
         ("cloud.openstack.keystone", "cloud.openstack.services", "cloud.openstack.services-given")),
    Item(9, "GCP: compute and storage", ("cloud.gcp.compute", "cloud.gcp.storage")),
    Item(9, "VMware / vCloud Director", ("cloud.vmware.api", "cloud.vcd.api")),
    Item(9, "CloudStack", ("cloud.cloudstack.api",)),
    Item(9, "Zadara", ("cloud.zadara.api", "cloud.zadara.s3")),
    Item(10, "off by default", (), f"{_ROWS}::test_what_is_optional_is_not_in_a_bare_plan", "settings/features.py"),
    Item(10, "CCX makes annotated Services, the controller calls the provider", ("kubernetes.api",),
         f"{_ROWS}::test_pods_ports_are_known_where_they_differ"),
    Item(10, "the DNS provider's API", ("dns.provider",),
         f"{_ROWS}::test_an_unknown_dns_provider_is_refused_unless_its_api_is_given"),
    *(Item(None, words, (), _TICKS, "network/render/checklist.py") for words in (
        "Required: image registries", "Required: cmon.license pre-set",
        "Required: nodes reach europe-apt.pkg.dev and the vendors' repositories",
        "Required: nodes reach packages.fluentbit.io", "Required: nodes reach the backup store",
        "Required: cloud APIs from the control plane",
        "If cmon.license is not pre-set: severalnines.com/service/lic.php", "If ENABLE_EMAIL: SMTP host",
        "If ENABLE_SLACK: hooks.slack.com", "If ENABLE_PAGERDUTY: events.pagerduty.com",
        "If ccx.services.billing.stripe: api.stripe.com", "If external-dns is enabled: DNS provider's API",
        "At install and upgrade: Helm chart repositories")),
)  # fmt: skip

_INTRODUCTION = """\
# The specification, row by row

Every row and line of *Firewall and Air-Gapped Deployment*: the code that holds it, the test that proves it, and its
state. **built**: the service works, and the row is enforced. **planned**: the row is in every plan and output under its
condition, and the service that would use it is not built yet. Generated:
`python -m ccx.network.specification > docs/specification.md`.

"""


def page() -> str:
    """``docs/specification.md``."""
    lines = [_INTRODUCTION.rstrip()]
    for section in [*_SECTIONS, None]:
        title = "Summary checklist" if section is None else f"{section}. {_SECTIONS[section]}"
        title = title.removeprefix("0. ")
        lines += [
            "",
            f"## {title}",
            "",
            "| row or line | in the contract | code | test | state |",
            "|---|---|---|---|---|",
        ]
        lines += [_line(item) for item in ITEMS if item.section == section]
    return "\n".join([*lines, ""])


def state(item: Item) -> str:
    """Built, planned, or how many of its declarations are built."""
    known = catalogue.load()
    statuses = {known[id_].status for id_ in item.ids} or {Status.BUILT if item.built else Status.PLANNED}
    return "partly built" if len(statuses) > 1 else statuses.pop().value


def _line(item: Item) -> str:
    known = catalogue.load()
    files = dict.fromkeys(known[i].module.replace(".", "/") + ".py" for i in item.ids) or [f"ccx/{item.code}"]
    code = ", ".join(f"[{Path(f).parent.name}/{Path(f).name}](../src/{f})" for f in files)
    file, _, name = item.test.partition("::")
    ids = ", ".join(f"`{id_}`" for id_ in item.ids)
    test = f"[{name.removeprefix('test_').replace('_', ' ')}](../{file})"
    return f"| {item.words} | {ids} | {code} | {test} | {state(item)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
