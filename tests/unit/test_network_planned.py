"""The specification's rows are all there, under their conditions, and features only ever add."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import Invalid
from ccx.network import Mirror, Plane, Protocol
from ccx.network.page import everything, page
from ccx.network.plan import Row, plan
from ccx.network.render import FORMATS, render
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


@pytest.mark.parametrize(
    ("clouds", "databases", "expected"),
    [
        (["aws"], ["postgres"], {"apt.postgresql.org", "ec2.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com",
                                 "*.s3.eu-west-1.amazonaws.com"}),
        (["gcp"], ["mariadb"], {"dlm.mariadb.com", "compute.googleapis.com", "storage.googleapis.com"}),
        (["openstack"], ["percona"], {"repo.percona.com", "keystone.example", "s3.example"}),
    ],
)  # fmt: skip
def test_with_everything_optional_off_the_required_rows_are_the_checklists(clouds, databases, expected):
    chosen = BARE.model_copy(
        update={
            "clouds": tuple(c for c in ALL.clouds if c.type in clouds),
            "databases": tuple(d for d in ALL.databases if d.code in databases),
            "kubernetes": Kubernetes(enabled=True),
        }
    )
    required = {
        r.host for r in plan(chosen).rows
        if r.required and r.section and r.plane not in (Plane.INTERNAL, Plane.INSTALL)
    }  # fmt: skip
    everywhere = {"eu.gcr.io", "europe-docker.pkg.dev", "docker.io", "europe-apt.pkg.dev", "packages.fluentbit.io"}
    assert required == everywhere | expected


VENDORS = {
    "postgres": {"apt.postgresql.org"}, "mariadb": {"dlm.mariadb.com"}, "percona": {"repo.percona.com"},
}  # fmt: skip
CLOUDS = {
    "aws": {"ec2.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "*.s3.eu-west-1.amazonaws.com"},
    "gcp": {"compute.googleapis.com", "storage.googleapis.com"}, "openstack": {"keystone.example", "s3.example"},
    "vmware": {"vcenter.example"}, "vcd": {"vcd.example"}, "cloudstack": {"cloudstack.example"},
    "zadara": {"zadara.example"}, "local": set(), "simulated": set(),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(sorted(CLOUDS))), st.sets(st.sampled_from(sorted(VENDORS))))
def test_for_any_clouds_and_vendors_the_required_rows_are_exactly_the_checklists(clouds, vendors):
    chosen = BARE.model_copy(
        update={
            "clouds": tuple(c for c in ALL.clouds if c.type in clouds),
            "databases": tuple(d for d in ALL.databases if d.code in vendors),
            "kubernetes": Kubernetes(enabled=True),
        }
    )
    required = {
        r.host for r in plan(chosen).rows
        if r.required and r.section and r.plane not in (Plane.INTERNAL, Plane.INSTALL)
    }  # fmt: skip
    everywhere = {"eu.gcr.io", "europe-docker.pkg.dev", "docker.io", "europe-apt.pkg.dev", "packages.fluentbit.io"}
    assert required == everywhere.union(*(CLOUDS[c] for c in clouds), *(VENDORS[v] for v in vendors))


FEATURES = {
    "stripe": True, "piwik_url": "https://severalnines.piwik.pro", "percona_telemetry": True, "notify": ALL.notify,
    "kubernetes": ALL.kubernetes, "clouds": ALL.clouds, "databases": ALL.databases, "license": License(preset=False),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(sorted(FEATURES))), st.sampled_from(sorted(FEATURES)))
def test_enabling_a_feature_never_removes_a_row_that_another_needs(on, more):
    before = BARE.model_copy(update={name: FEATURES[name] for name in on})
    after = before.model_copy(update={more: FEATURES[more]})
    assert set(map(key, plan(before).rows)) <= set(map(key, plan(after).rows))


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
        ("europe-apt.pkg.dev", 443), ("repo.percona.com", 80), ("archive.ubuntu.com", 80), ("security.ubuntu.com", 80),
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
