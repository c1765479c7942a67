"""The specification's rows are all there, under their conditions, and features only ever add."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import Invalid
from ccx.network import Mirror, Plane, Protocol
from ccx.network.catalogue import load
from ccx.network.page import everything, page
from ccx.network.plan import Row, plan
from ccx.network.render import FORMATS, render
from ccx.settings import Settings
from ccx.settings.features import ExternalDns, Kubernetes, License, Mirrors, Notify

ALL = everything()
BARE = ALL.model_copy(
    update={
        "clouds": (), "databases": (), "kubernetes": Kubernetes(), "notify": Notify(), "license": License(preset=True),
        "stripe": False, "piwik_url": "", "percona_telemetry": False,
    }
)  # fmt: skip
# The specification's tables: section, host (as these settings give it), port.
SPECIFIED = {
    *((1, host, 443) for host in (
        "eu.gcr.io", "europe-docker.pkg.dev", "docker.io", "opensource.zalando.com", "kubernetes.github.io",
        "nats-io.github.io", "kubernetes-sigs.github.io", "mysql.github.io", "severalnines.github.io",
        "registry-1.docker.io", "quay.io",
    )),
    (2, "severalnines.com", 443),
    (3, "europe-apt.pkg.dev", 443), (3, "dlm.mariadb.com", 80), (3, "repo.percona.com", 80),
    (3, "apt.postgresql.org", 80), (3, "packages.fluentbit.io", 443),
    (4, "s3.eu-west-1.amazonaws.com", 443), (4, "s3.example", 443),
    (5, "smtp.example", 587), (5, "hooks.slack.com", 443), (5, "events.pagerduty.com", 443),
    (6, "api.stripe.com", 443), (6, "js.stripe.com", 443),
    (7, "severalnines.piwik.pro", 443), (7, "st.s9s.io", 443),
    *((8, host, port) for host, port in (
        ("cmon", 9501), ("cmon", 9500), ("cmon", 9511), ("cmon", 9518), ("cmon", 9954), ("cmon-sd", 8080),
        ("ccmgr", 19051), ("kuber-proxy", 8081), ("kuber-proxy", 50051), ("ccx-stores", 20001), ("ccx-stores", 20002),
        ("ccx-stores", 20003), ("ccx-stores", 18097), ("localhost", 18091), ("victoria-metrics", 9090),
        ("keycloak", 80), ("localhost", 4222), ("localhost", 5432),
    )),
    (9, "ec2.eu-west-1.amazonaws.com", 443), (9, "s3.eu-west-1.amazonaws.com", 443),
    (9, "keystone.example", 5000), (9, "keystone.example", 8774), (9, "keystone.example", 8776),
    (9, "keystone.example", 9696), (9, "keystone.example", 9292), (9, "compute.googleapis.com", 443),
    (9, "storage.googleapis.com", 443), (9, "vcenter.example", 443), (9, "vcd.example", 443),
    (9, "cloudstack.example", 443), (9, "zadara.example", 443),
    (10, "route53.amazonaws.com", 443),
}  # fmt: skip


def key(row: Row) -> tuple[object, ...]:
    return (row.id, row.host, row.port, row.path)


def test_every_row_of_the_specification_is_in_the_largest_plan():
    assert SPECIFIED - {(r.section, r.host, r.port) for r in plan(ALL).rows} == set()


def test_every_path_that_a_mirror_needs_is_there():
    paths = {r.path for r in plan(ALL).rows if r.section in (1, 3)}
    assert paths >= {
        "/brave-night-121210", "/severalnines-public/clustercontrol", "/severalnines", "/bitnamilegacy",
        "/pub/repos/apt", "/ps-80/apt", "/pxc-80/apt", "/pxb-80/apt", "/ps-84-lts/apt",
        "/pxc-84-lts/apt", "/pxb-84-lts/apt",
        "/telemetry/apt", "/projects/severalnines-public",
    }  # fmt: skip


def test_what_is_optional_is_not_in_a_bare_plan():
    assert {r.section for r in plan(BARE).rows} <= {8, None}


# The specification's "required for all deployments", line by line: plane, host, port, path.
EVERYWHERE = {
    (Plane.CONTROL, "eu.gcr.io", 443, "/brave-night-121210"),
    (Plane.CONTROL, "europe-docker.pkg.dev", 443, "/severalnines-public/clustercontrol"),
    (Plane.CONTROL, "docker.io", 443, "/severalnines"), (Plane.CONTROL, "docker.io", 443, "/bitnamilegacy"),
    (Plane.CONTROL, "docker.io", 443, "/curlimages/curl"),
    (Plane.DATA, "europe-apt.pkg.dev", 443, "/projects/severalnines-public"),
    (Plane.DATA, "packages.fluentbit.io", 443, "/ubuntu/"),
}  # fmt: skip


def _percona(*names: str) -> set[tuple[object, ...]]:
    return {(Plane.DATA, "repo.percona.com", 80, f"/{name}/apt") for name in names}


VENDORS = {
    ("postgres", "17"): {(Plane.DATA, "apt.postgresql.org", 80, "/pub/repos/apt")},
    ("mariadb", "11.8"): {(Plane.DATA, "dlm.mariadb.com", 80, "/repo/mariadb-server/")},
    # The server's package depends on the telemetry's agent, which is switched off.
    ("percona", "8.0"): _percona("ps-80", "pxc-80", "pxb-80", "telemetry"),
    ("percona", "8.4"): _percona("ps-84-lts", "pxc-84-lts", "pxb-84-lts", "telemetry"),
}
BOTH = (Plane.CONTROL, Plane.DATA)
CLOUDS = {
    "aws": {
        (Plane.CONTROL, "ec2.eu-west-1.amazonaws.com", 443, ""),
        *((plane, f"{name}s3.eu-west-1.amazonaws.com", 443, "") for plane in BOTH for name in ("", "*.")),
    },
    "gcp": {(Plane.CONTROL, f"{name}.googleapis.com", 443, "") for name in ("compute", "storage")},
    "openstack": {
        *((Plane.CONTROL, "keystone.example", port, "") for port in (5000, 8774, 8776, 9696, 9292)),
        *((plane, "s3.example", 443, "") for plane in BOTH),
    },
    **{name: {(Plane.CONTROL, f"{host}.example", 443, "")} for name, host in (
        ("vmware", "vcenter"), ("vcd", "vcd"), ("cloudstack", "cloudstack"), ("zadara", "zadara"))},
    "local": set(), "simulated": set(),
}  # fmt: skip


def chosen(clouds, vendors) -> Settings:
    """An installation on Kubernetes with these clouds and vendors, and everything optional off."""
    codes = {code for code, _ in vendors}
    return BARE.model_copy(
        update={
            "clouds": tuple(cloud for cloud in ALL.clouds if cloud.type in clouds),
            "databases": tuple(
                offered.model_copy(update={"versions": tuple(v for code, v in vendors if code == offered.code)})
                for offered in ALL.databases if offered.code in codes
            ),
            "kubernetes": Kubernetes(enabled=True),
        }
    )  # fmt: skip


def required(rows) -> set[tuple[object, ...]]:
    """The required rows that the specification has, outside of its internal and installing ones."""
    return {
        (row.plane, row.host, row.port, row.path) for row in rows
        if row.required and row.section and row.plane not in (Plane.INTERNAL, Plane.INSTALL)
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(sorted(CLOUDS))), st.sets(st.sampled_from(sorted(VENDORS))))
def test_for_any_clouds_and_vendors_the_required_rows_are_exactly_the_checklists(clouds, vendors):
    expected = EVERYWHERE.union(*(CLOUDS[c] for c in clouds), *(VENDORS[v] for v in vendors))
    assert required(plan(chosen(clouds, vendors)).rows) == expected


MUST = sorted({
    row.id for row in plan(chosen(CLOUDS, VENDORS)).rows
    if row.required and row.section and row.plane not in (Plane.INTERNAL, Plane.INSTALL)
})  # fmt: skip
# What stands in the rows of another id as well is missed only when both are wrong.
SHARED = {"cloud.aws.s3": ("cloud.aws.s3", "backup.s3-aws.control")}


@pytest.mark.parametrize("id_", MUST)
def test_no_required_row_can_be_lost_made_optional_or_moved_unnoticed(id_):
    expected = EVERYWHERE.union(*CLOUDS.values(), *VENDORS.values())
    rows = plan(chosen(CLOUDS, VENDORS)).rows
    assert required(rows) == expected
    ids = SHARED.get(id_, (id_,))
    for change in ({"required": False}, {"plane": Plane.INSTALL}, {"section": None}):
        changed = [replace(row, **change) if row.id in ids else row for row in rows]
        assert required(changed) != expected, change


def _cloud(type_):
    return lambda s: {"clouds": (*s.clouds, *(c for c in ALL.clouds if c.type == type_))}


def _vendor(code):
    return lambda s: {"databases": (*s.databases, *(d for d in ALL.databases if d.code == code))}


def _part(name, **facts):
    return lambda s: {name: getattr(s, name).model_copy(update=facts)}


def _set(**facts):
    return lambda s: facts


# Everything that can be switched on, one by one: what each changes in settings.
FEATURES = {
    **{f"cloud {c.type}": _cloud(c.type) for c in ALL.clouds},
    **{f"vendor {d.code}": _vendor(d.code) for d in ALL.databases},
    "kubernetes": _part("kubernetes", enabled=True), "cert-manager": _part("kubernetes", cert_manager=True),
    "mysql operator": _part("kubernetes", mysql_operator=True),
    "mysql innodbcluster": _part("kubernetes", mysql_innodbcluster=True),
    "external-dns": _part("kubernetes", external_dns=ExternalDns(enabled=True, provider="aws")),
    "an image of one's own": _part("kubernetes", images=(("cmon.image", "registry.corp:5000/cmon:1"),)),
    "email": _part("notify", email_enabled=True, smtp_host="smtp.example"),
    "slack": _part("notify", slack_enabled=True), "slack channel": _part("notify", slack_channel=True),
    "pagerduty": _part("notify", pagerduty_enabled=True), "trial licence": _set(license=License(preset=False)),
    "stripe": _set(stripe=True), "analytics": _set(piwik_url="https://severalnines.piwik.pro"),
    "percona telemetry": _set(percona_telemetry=True), "console": _set(cc_fqdn="cc.example"),
}  # fmt: skip


def switched_on(names, base: Settings = BARE) -> Settings:
    for name in sorted(names):
        base = base.model_copy(update=FEATURES[name](base))
    return base


def lost(before: Settings, after: Settings, endpoints=None) -> set[Row]:
    """The rows of one plan that another lacks."""
    return set(plan(before, endpoints).rows) - set(plan(after, endpoints).rows)


@settings(max_examples=80, deadline=None)
@given(st.sets(st.sampled_from(sorted(FEATURES))), st.sampled_from(sorted(FEATURES)))
def test_enabling_a_feature_never_removes_a_row_that_another_needs(on, more):
    before = switched_on(on - {more})
    assert lost(before, switched_on({more}, before)) == set()


@pytest.mark.parametrize("more", sorted(FEATURES))
def test_a_row_that_a_feature_takes_away_is_noticed(more):
    """Each declaration in turn is made to vanish when the feature is on: the property above must see it."""
    before = switched_on(FEATURES.keys() - {more})
    after = switched_on({more}, before)
    assert lost(before, after) == set()

    def worse(declared):
        needed = declared.needed
        return replace(declared, needed=lambda s: needed(s) and s != after, condition=declared.condition)

    for declared in load().values():
        if declared.needed(before) and declared.targets(before):
            assert lost(before, after, [worse(declared)]), declared.id


def test_internal_services_are_in_every_plan():
    def internal(rows):
        return {key(r) for r in rows if r.section == 8}

    assert internal(plan(BARE).rows) == internal(plan(ALL).rows)


def test_an_unknown_dns_provider_is_refused_unless_its_api_is_given():
    def with_dns(**facts):
        dns = ExternalDns(enabled=True, **facts)
        return BARE.model_copy(update={"kubernetes": Kubernetes(enabled=True, external_dns=dns)})

    with pytest.raises(Invalid, match="nowhere") as refused:
        plan(with_dns(provider="nowhere"))
    assert refused.value.field == "kubernetes.external_dns.provider"
    assert plan(with_dns(provider="nowhere", api="https://dns.corp:8443")).find("dns.corp", 8443)


def test_a_web_hooks_path_shows_in_no_output():
    secret = ALL.model_copy(
        update={"notify": ALL.notify.model_copy(update={"slack_url": "https://hooks.slack.com/services/T0/hunter2"})}
    )
    for fmt in FORMATS:
        assert "hunter2" not in render(plan(secret), fmt)


def test_csv_is_read_back_as_it_was():
    rows = list(csv.DictReader(io.StringIO(render(plan(ALL), "csv"))))
    assert [(r["id"], r["host"], int(r["port"])) for r in rows] == [(r.id, r.host, r.port) for r in plan(ALL).rows]


def test_images_move_to_the_mirror_that_the_settings_name():
    mirrored = ALL.model_copy(
        update={"kubernetes": ALL.kubernetes.model_copy(update={"image_registry": "registry.corp:5000"})}
    )
    images = [r for r in plan(mirrored).rows if r.id.startswith("images.")]
    assert {(r.host, r.port) for r in images} == {("registry.corp", 5000)}
    assert {r.behind for r in images} == {()}


def test_every_row_moves_to_the_mirrors_that_the_settings_name():
    moved = ALL.model_copy(
        update={
            "kubernetes": ALL.kubernetes.model_copy(update={"image_registry": "registry.corp:5000"}),
            "mirror": Mirrors(packages="http://apt.corp:8080", charts="https://charts.corp"),
        }
    )
    before, after = plan(ALL).rows, plan(moved).rows
    where = {
        Mirror.IMAGE_REGISTRY: ("registry.corp", 5000, Protocol.HTTPS),
        Mirror.APT_REPOSITORY: ("apt.corp", 8080, Protocol.HTTP),
        Mirror.CHART_REPOSITORY: ("charts.corp", 443, Protocol.HTTPS),
    }
    for kind, expected in where.items():
        found = [r for r in after if r.mirror is kind]
        assert {(r.host, r.port, r.protocol) for r in found} == {expected}
        assert {r.behind for r in found} == {()}
        assert {r.path for r in found} == {r.path for r in before if r.mirror is kind}, "under the vendors' own paths"
    assert {key(r) for r in before if r.mirror not in where} == {key(r) for r in after if r.mirror not in where}


def test_a_proxy_is_a_row_and_what_goes_by_it_says_so():
    rows = plan(ALL.model_copy(update={"egress_proxy": "http://proxy.corp:3128"})).rows
    assert {(r.host, r.port, r.plane) for r in rows if r.id.startswith("egress.proxy")} == {
        ("proxy.corp", 3128, Plane.CONTROL), ("proxy.corp", 3128, Plane.DATA)
    }  # fmt: skip
    by_id = {r.id: r for r in rows}
    assert by_id["notify.slack"].via == by_id["packages.postgresql"].via == "proxy.corp:3128"
    assert by_id["notify.smtp"].via == by_id["cmon.ssh"].via == by_id["rest.user"].via == by_id["node.ntp"].via == ""
    assert by_id["cloud.metadata.data"].via == "", "a link-local address is no proxy's to reach"


@pytest.mark.parametrize(
    ("name", "behind"),
    [
        ("docker.io", {"registry-1.docker.io", "auth.docker.io", "production.cloudflare.docker.com",
                       "production.cloudfront.docker.com"}),
        ("quay.io", {"cdn.quay.io", "cdn01.quay.io", "cdn02.quay.io", "cdn03.quay.io"}),
        ("ghcr.io", {"pkg-containers.githubusercontent.com"}), ("eu.gcr.io", {"storage.googleapis.com"}),
        ("nats-io.github.io", {"github.com", "release-assets.githubusercontent.com"}),
        ("compute.googleapis.com", {"oauth2.googleapis.com"}),
        ("js.stripe.com", {"api.stripe.com", "hooks.stripe.com", "m.stripe.network"}),
        ("severalnines.piwik.pro", {"severalnines.containers.piwik.pro"}),
    ],
)  # fmt: skip
def test_what_stands_behind_a_name_is_known(name, behind):
    found = [r for r in plan(ALL).rows if r.host == name]
    assert found
    assert all(behind <= set(r.behind) for r in found)


def test_what_the_specification_omits_is_there():
    hosts = {(r.host, r.port) for r in plan(ALL).rows if r.section is None}
    assert hosts >= {
        ("www.postgresql.org", 443), ("supplychain.mariadb.com", 443), ("packages.fluentbit.io", 443),
        ("europe-apt.pkg.dev", 443), ("repo.percona.com", 443), ("archive.ubuntu.com", 80), ("security.ubuntu.com", 80),
        ("ports.ubuntu.com", 80), ("eu-west-1.ec2.archive.ubuntu.com", 80), ("ntp.ubuntu.com", 123),
        ("check.percona.com", 443), ("ghcr.io", 443), ("quay.io", 443), ("registry.k8s.io", 443),
        ("registry.opensource.zalan.do", 443), ("container-registry.oracle.com", 443), ("169.254.169.254", 80),
        ("sts.eu-west-1.amazonaws.com", 443), ("acme-v02.api.letsencrypt.org", 443), ("storage.googleapis.com", 443),
        ("group:nodes", 22), ("group:nodes", 9100), ("group:nodes", 9011), ("group:nodes", 9104), ("group:nodes", 9187),
        ("group:control-plane", 443), ("group:users", 80), ("group:users", 443), ("group:resolver", 53),
        ("mysql", 3306), ("alertmanager", 9093), ("ccx-auth-service", 5050), ("ccx-billing-service", 18077),
    }  # fmt: skip


def test_services_are_exposed_where_the_settings_expose_them():
    exposed = plan(ALL.model_copy(update={"cc_fqdn": "cc.example"})).rows
    assert {r.port for r in exposed if r.id.startswith("cc.")} == {9501, 9511, 50051}
    assert not [r for r in plan(ALL).rows if r.id.startswith("cc.")]


def test_pods_ports_are_known_where_they_differ():
    assert {(r.id, r.port, r.pod_port) for r in plan(ALL).rows if r.pod_port} == {
        ("internal.keycloak", 80, 8080), ("internal.metrics", 9090, 8428), ("kubernetes.api", 443, 6443)
    }  # fmt: skip


def test_an_image_of_another_registry_is_a_row():
    own = Kubernetes(enabled=True, images=(("cmon.image", "registry.corp:5000/cmon:1"), ("x", "busybox")))
    rows = plan(BARE.model_copy(update={"kubernetes": own})).rows
    assert [(r.host, r.port) for r in rows if r.id == "images.own"] == [("registry.corp", 5000)]


def test_settings_urls_decide_host_port_path_and_protocol():
    changed = ALL.model_copy(
        update={
            "license": License(server_url="http://licences.corp:8080/get"),
            "notify": ALL.notify.model_copy(update={"pagerduty_url": "https://events.eu.pagerduty.com"}),
            "clouds": tuple(
                c.model_copy(update={"endpoint": "https://vpce-1.ec2.corp"}) if c.type == "aws" else c
                for c in ALL.clouds
            ),
        }
    )
    rows = {r.id: r for r in plan(changed).rows}
    assert (rows["license.trial"].where, rows["license.trial"].protocol) == ("licences.corp:8080/get", Protocol.HTTP)
    assert rows["notify.pagerduty"].host == "events.eu.pagerduty.com"
    assert rows["cloud.aws.ec2"].host == "vpce-1.ec2.corp"


def test_the_firewall_page_is_fresh():
    written = Path(__file__).parents[2] / "docs" / "operate" / "firewall.md"
    assert written.read_text() == page(), "run: python -m ccx.network.page > docs/operate/firewall.md"
