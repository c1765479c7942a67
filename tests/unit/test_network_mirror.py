"""What a mirror has to hold, under the vendors' own paths, and how nodes are told of it."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.clouds.base import Direction, Rule
from ccx.clouds.local.recipe import RECIPES
from ccx.cmon import engines
from ccx.errors import Invalid
from ccx.network import Status, catalogue
from ccx.network.mirror import alternatives
from ccx.network.mirror.artefacts import Kind, artefacts
from ccx.network.mirror.index import compare
from ccx.network.mirror.repository import repositories
from ccx.network.mirror.sources import node_packages, node_sources, reached
from ccx.network.mirror.suites import suites
from ccx.network.mirror.sync import dependencies
from ccx.network.page import everything
from ccx.network.plan import plan
from ccx.runner.steps.network import rules
from ccx.settings import Settings
from ccx.settings.features import Kubernetes, Mirrors

LOCAL = everything().model_copy(
    update={
        "kubernetes": Kubernetes(),
        "clouds": tuple(c for c in everything().clouds if c.type == "local"),
        "databases": tuple(d for d in everything().databases if d.code == "postgres"),
        "control_address": "10.224.0.2", "resolver_address": "10.224.0.1",
    }
)  # fmt: skip
MIRRORED = LOCAL.model_copy(update={"mirror": Mirrors(packages="http://10.224.0.4", key="/etc/ccx/mirror.asc")})
BAKED = LOCAL.model_copy(update={"clouds": tuple(c.model_copy(update={"image": "baked"}) for c in LOCAL.clouds)})


def test_every_apt_row_of_vendors_says_what_it_holds() -> None:
    rows = {r.row for r in repositories()}
    apt = {id_ for id_, e in catalogue.load().items() if e.id.startswith("packages.") and "key-" not in id_}

    # AWS' own copy of Ubuntu's archive and the one for ARM hold what Ubuntu's does; the last is no repository.
    assert apt - rows == {"packages.ubuntu-ec2", "packages.ubuntu-ports", "packages.percona-calls"}


def test_suites_are_published_under_the_paths_that_their_vendors_have() -> None:
    found = {(s.path, s.suite) for s in suites(everything(), ("noble",))}

    assert {
        ("/pub/repos/apt", "noble-pgdg"), ("/ps-80/apt", "noble"), ("/pxc-84-lts/apt", "noble"),
        ("/repo/mariadb-server/11.8/repo/ubuntu", "noble"), ("/ubuntu/noble", "noble"),
        ("/ubuntu", "noble"), ("/ubuntu", "noble-updates"), ("/ubuntu", "noble-security"),
    } <= found  # fmt: skip


def test_a_mirror_in_the_settings_changes_where_nodes_look_and_not_where_it_is_filled_from() -> None:
    assert suites(MIRRORED) == suites(LOCAL)
    assert {s.uri for s in node_sources(MIRRORED, "postgres", "17", "postgres_streaming")} == {
        "http://10.224.0.4/pub/repos/apt", "http://10.224.0.4/debian", "http://10.224.0.4/debian-security",
    }  # fmt: skip
    assert {s.uri for s in node_sources(LOCAL, "postgres", "17", "postgres_streaming")} == {
        "http://apt.postgresql.org/pub/repos/apt", "http://deb.debian.org/debian",
        "http://deb.debian.org/debian-security",
    }  # fmt: skip


def test_an_unknown_release_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Invalid, match="no release 'nobel'") as caught:
        suites(LOCAL, ("nobel",))
    assert "noble" in str(caught.value.remedy)


def test_the_baked_image_holds_what_a_stock_node_would_install() -> None:
    assert set(node_packages("postgres", "17", "postgres_streaming")) <= set(RECIPES["baked"].packages)


def test_nodes_use_only_repositories_whose_rows_are_built() -> None:
    used = {source.name for source in node_sources(everything(), "postgres", "17", "postgres_streaming")}

    assert used
    assert {catalogue.load()[row].status for row in used} == {Status.BUILT}


def test_nodes_with_their_packages_inside_are_let_through_to_no_repository() -> None:
    assert reached(BAKED, "postgres", "postgres_streaming") == ()
    assert suites(BAKED) == ()


def test_a_datastores_firewall_lets_stock_nodes_through_to_the_mirror_alone() -> None:
    def egress(settings: Settings) -> set[tuple[int, str]]:
        wanted = rules(settings, engines.get("postgres", settings), [])
        return {(r.port, r.peer) for r in wanted if r.direction is Direction.EGRESS and r.peer != "self"}

    extra = egress(MIRRORED) - egress(BAKED)

    assert extra == {(80, "10.224.0.4/32")}
    assert Rule(Direction.EGRESS, "tcp", 80, "0.0.0.0/0") in rules(LOCAL, engines.get("postgres", LOCAL), [])


def test_with_a_proxy_nodes_reach_the_proxy_instead_of_the_vendors_but_a_mirror_directly() -> None:
    proxied = LOCAL.model_copy(update={"egress_proxy": "http://10.9.8.7:3128"})
    both = MIRRORED.model_copy(update={"egress_proxy": "http://10.9.8.7:3128"})

    assert reached(proxied, "postgres", "postgres_streaming") == (("10.9.8.7", 3128),)
    assert all(
        s.proxied and (s.key_proxied or not s.key_url)
        for s in node_sources(proxied, "postgres", "17", "postgres_streaming")
    )
    assert reached(both, "postgres", "postgres_streaming") == (("10.224.0.4", 80),)
    assert not any(s.proxied or s.key_proxied for s in node_sources(both, "postgres", "17", "postgres_streaming"))


def test_a_proxy_is_no_row_of_nodes_that_find_everything_inside() -> None:
    def has_proxy(settings: Settings) -> bool:
        return "egress.proxy.data" in {row.id for row in plan(settings.model_copy(update=proxied)).rows}

    proxied = {"egress_proxy": "http://10.9.8.7:3128"}
    assert has_proxy(LOCAL)
    assert not has_proxy(MIRRORED)
    assert not has_proxy(BAKED)


def test_images_are_listed_as_exactly_as_the_values_name_them() -> None:
    digest = f"sha256:{'a' * 64}"
    images = (("cmon.image", f"registry.corp:5000/cmon@{digest}"), ("ccx.backend.image", "eu.gcr.io/x/backend:1.55"),
              ("a.image", "docker.io/bitnami/kubectl:latest"))  # fmt: skip
    named = everything().model_copy(update={"kubernetes": Kubernetes(enabled=True, images=images)})

    found = {a.name: a for a in artefacts(named) if a.row == "images.named"}

    assert (found["registry.corp:5000/cmon"].digest, found["registry.corp:5000/cmon"].version) == (digest, "")
    assert (found["eu.gcr.io/x/backend"].version, found["eu.gcr.io/x/backend"].note) == ("1.55", "")
    assert "it moves" in found["docker.io/bitnami/kubectl"].note


def test_the_plan_lists_suites_packages_keys_images_and_charts() -> None:
    found = artefacts(everything())

    assert {a.kind for a in found} == set(Kind)
    assert {"/media/keys/ACCC4CF8.asc", "/fluentbit.key"} <= {a.path for a in found if a.kind is Kind.KEY}
    assert "postgresql-17" in {a.name for a in found if a.vendor == "postgres"}
    assert "8.4" in {a.version for a in found if a.row == "images.mysql"}
    left_open = [a for a in found if a.kind is Kind.SUITE and a.name == "?"]
    assert [a.row for a in left_open] == ["packages.s9s"]
    assert all(a.note for a in left_open)


def test_dependencies_are_read_without_versions_and_with_the_first_alternative() -> None:
    fields = ["libc6 (>= 2.36), python3:any, python3-etcd (>= 0.4.3) | python3-consul", "<no value>, adduser"]

    assert dependencies(fields) == {"libc6", "python3", "python3-etcd", "adduser"}


def test_the_other_mirrors_map_every_vendors_path_once() -> None:
    wanted = suites(everything(), ("noble",))

    cached = alternatives.apt_cacher_ng(wanted)
    served = alternatives.nexus_nginx(wanted)

    for path in {s.path for s in wanted}:
        assert sum(f": {path} ; " in line for line in cached.splitlines()) == 1, path
        assert served.count(f"location {path}/ {{") == 1, path
    for suite in wanted:
        assert f"location {suite.path}/dists/{suite.suite}/ {{" in served


def test_nexus_gets_for_each_suite_what_its_api_requires_and_nothing_that_it_does_not_know() -> None:
    wanted = suites(everything(), ("noble", "trixie"))

    bodies = json.loads(alternatives.nexus(wanted))

    required = {
        "storage": {"blobStoreName": str, "strictContentTypeValidation": bool},
        "proxy": {"remoteUrl": str, "contentMaxAge": int, "metadataMaxAge": int},
        "negativeCache": {"enabled": bool, "timeToLive": int},
        "httpClient": {"blocked": bool, "autoBlock": bool},
        "apt": {"distribution": str, "flat": bool},
    }
    assert len({body["name"] for body in bodies}) == len(wanted)
    for body, suite in zip(bodies, wanted, strict=True):
        assert set(body) == {"name", "online", *required}
        assert body["online"] is True
        assert re.fullmatch(r"[a-zA-Z0-9-][a-zA-Z0-9_.-]*", body["name"])
        for part, fields in required.items():
            assert {name: type(value) for name, value in body[part].items()} == fields
        assert body["apt"] == {"distribution": suite.suite, "flat": False}
        assert body["proxy"]["remoteUrl"] == f"{suite.url}/"
        assert f"/repository/{body['name']}/dists/{suite.suite}/;" in alternatives.nexus_nginx([suite])


_VERSIONS = st.from_regex(r"([0-9]:)?[0-9][0-9a-z.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True)


@given(_VERSIONS, _VERSIONS)
def test_versions_are_ordered_as_dpkg_orders_them(one: str, other: str) -> None:
    ours = compare(one, other)

    expected = "lt" if ours < 0 else "gt" if ours > 0 else "eq"
    assert subprocess.run(["dpkg", "--compare-versions", one, expected, other], check=False).returncode == 0
