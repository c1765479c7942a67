"""The specification's rows are all there, under their conditions, and features only ever add."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import Invalid
from ccx.network import Plane
from ccx.network.page import everything, page
from ccx.network.plan import Row, plan
from ccx.network.render import FORMATS, render
from ccx.settings.features import ExternalDns, Kubernetes, License, Notify

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


def test_the_firewall_page_is_fresh():
    written = Path(__file__).parents[2] / "docs" / "operate" / "firewall.md"
    assert written.read_text() == page(), "run: python -m ccx.network.page > docs/operate/firewall.md"
