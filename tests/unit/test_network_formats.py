"""Each format is accepted by its real consumer, and holds what the plan has, no more."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import boto3
import kubernetes_validate
import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from markdown_it import MarkdownIt
from moto import mock_aws
from tests.unit.test_network_endpoint import endpoint
from tests.unit.test_network_plan import SETTINGS

from ccx.errors import Invalid
from ccx.network import CLIENTS, CONTROL_PLANE, NODES, PEERS, USERS, Direction, Plane, Protocol, Status
from ccx.network.page import everything
from ccx.network.plan import Plan, plan
from ccx.network.render import FORMATS, render
from ccx.settings.features import License, Mirrors, Notify

ALL = everything().model_copy(
    update={
        "node_network": "10.224.1.0/24", "control_address": "10.224.0.2", "resolver_address": "10.224.0.1",
        "dsn": "postgresql://db.corp:5432/ccx", "nats_url": "nats://nats:4222",
    }
)  # fmt: skip
LARGEST = plan(ALL)


def of(*endpoints) -> Plan:
    return plan(SETTINGS, list(endpoints))


def hosts(found: Plan, *planes: Plane, protocols=(Protocol.HTTPS, Protocol.HTTP)) -> set[str]:
    return {
        host for row in found.select(*planes, direction=Direction.OUTBOUND)
        if row.group is None and row.protocol in protocols for host in row.hosts
    }  # fmt: skip


@pytest.mark.parametrize("fmt", sorted(FORMATS))
def test_every_format_is_a_function_of_the_plan_and_ends_its_last_line(fmt):
    text = render(LARGEST, fmt)
    assert text == render(plan(ALL), fmt)
    assert text.endswith("\n") or not text


@pytest.mark.parametrize(
    "fmt", sorted(set(FORMATS) - {"csp", "dnsmasq", "list-domains", "list-addresses", "list-urls"})
)
def test_planned_rows_show_as_planned(fmt):
    assert "planned" in render(LARGEST, fmt)


# --- squid -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def squid(tmp_path_factory) -> list[str]:
    """The command of a squid: the system's, or the distribution's package unpacked beside the tests."""
    if found := shutil.which("squid", path="/usr/sbin:/usr/bin:/sbin"):
        return [found]
    folder = tmp_path_factory.mktemp("squid")
    packages = ("squid", "libecap3", "libltdl7", "libtdb1")
    for package in packages:
        got = subprocess.run(["apt-get", "-qq", "download", package], cwd=folder, capture_output=True, text=True)
        if got.returncode != 0:
            pytest.skip(f"squid is not installed and can't be downloaded: apt-get install squid ({got.stderr.strip()})")
    for deb in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
    libraries = next(folder.glob("usr/lib/*/libecap.so.3")).parent
    command = ["env", f"LD_LIBRARY_PATH={libraries}", str(folder / "usr/sbin/squid")]
    tried = subprocess.run([*command, "-v"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"the unpacked squid does not run: apt-get install squid ({tried.stderr.strip()})")
    return command


def parsed(squid: list[str], folder: Path, text: str) -> str:
    (folder / "squid.conf").write_text(f"pid_filename {folder}/squid.pid\n{text}")
    done = subprocess.run([*squid, "-k", "parse", "-f", folder / "squid.conf"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_squid_accepts_the_largest_configuration_without_complaint(squid, tmp_path):
    said = parsed(squid, tmp_path, render(LARGEST, "squid"))
    assert not re.findall(r"(?:ERROR|WARNING|FATAL|Bungled).*(?:ccx|acl|subdomain|dstdomain).*", said)


def test_squid_lets_out_the_webs_hosts_and_denies_the_rest():
    text = render(LARGEST, "squid")
    listed = set(re.findall(r"^acl \S+ (?:dstdomain|dst) (\S+)$", text, re.MULTILINE))
    wanted = {h.removeprefix("*") for h in hosts(LARGEST, Plane.CONTROL, Plane.DATA, Plane.INSTALL)}
    covered = {w for w in wanted if w in listed or any(x.startswith(".") and f".{w}".endswith(x) for x in listed)}
    assert listed <= wanted
    assert covered == wanted
    assert text.rstrip().endswith("http_access deny all")
    assert "acl ccx_data src 10.224.1.0/24" in text


def test_squid_narrows_plain_http_to_its_path_and_never_tunnels_it(squid, tmp_path):
    text = render(of(endpoint(ports=80, protocol=Protocol.HTTP, path="/a.b/c")), "squid")
    assert r"urlpath_regex ^/a\.b/c" in text
    assert "!ccx_connect" in text
    parsed(squid, tmp_path, text)


def test_a_name_that_a_wildcard_covers_is_left_out_of_squids_list(squid, tmp_path):
    text = render(of(endpoint(host=lambda s: ["*.s3.example", "s3.example", "a.s3.example"])), "squid")
    assert re.findall(r"dstdomain (\S+)", text) == [".s3.example"]
    assert "ERROR" not in parsed(squid, tmp_path, text)


# --- Kubernetes --------------------------------------------------------------------------------------------------


def policies(found: Plan, **options) -> dict[str, dict]:
    documents = list(yaml.safe_load_all(render(found, "kubernetes", **options)))
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)
    return {document["metadata"]["name"]: document for document in documents}


def test_network_policies_are_valid_and_deny_all_but_the_plan():
    made = policies(LARGEST)
    assert made["ccx-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    inside = {(p["protocol"], p["port"]) for p in made["ccx-internal"]["spec"]["ingress"][0]["ports"]}
    assert {("TCP", 8080), ("TCP", 8428), ("TCP", 18091), ("TCP", 20001), ("TCP", 6443)} <= inside
    assert ("TCP", 80) not in inside
    assert {p["port"] for rule in made["ccx-ingress"]["spec"]["ingress"] for p in rule["ports"]} == {80, 443}


def test_what_the_clusters_machines_do_themselves_is_in_no_policy_for_pods():
    text = render(LARGEST, "kubernetes")
    assert "notify.slack" in text
    assert "images." not in text
    assert "control.ntp" not in text


def test_a_policy_narrows_to_addresses_and_says_where_it_can_not():
    rows = of(endpoint(), endpoint(id="test.nodes", host=NODES, ports=22, protocol=Protocol.TCP))
    egress = policies(rows)["ccx-egress"]
    assert egress["metadata"]["annotations"]["ccx/any-address"] == "443: api.example"
    assert {"to": [{"ipBlock": {"cidr": "10.224.1.0/24"}}], "ports": [{"protocol": "TCP", "port": 22}]} in (
        egress["spec"]["egress"]
    )
    narrowed = policies(rows, resolved={"api.example": ["192.0.2.7"]})["ccx-egress"]
    assert "ccx/any-address" not in narrowed["metadata"]["annotations"]
    assert [{"ipBlock": {"cidr": "192.0.2.7/32"}}] in [rule["to"] for rule in narrowed["spec"]["egress"]]


# --- AWS ---------------------------------------------------------------------------------------------------------


def test_an_emulator_of_aws_takes_the_security_groups_and_gives_them_back():
    document = json.loads(render(LARGEST, "aws-security-groups", resolved={"smtp.example": ["192.0.2.25"]}))
    with mock_aws():
        ec2 = boto3.client("ec2", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        ids = {
            g["GroupName"]: ec2.create_security_group(
                GroupName=g["GroupName"], Description=g["Description"], VpcId=vpc
            )["GroupId"]
            for g in document["SecurityGroups"]
        }  # fmt: skip
        text = json.dumps(document)
        for name, id_ in ids.items():
            text = text.replace(f"{{{name}}}", id_)
        for group in json.loads(text)["SecurityGroups"]:
            id_ = ids[group["GroupName"]]
            ec2.revoke_security_group_egress(
                GroupId=id_, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
            )
            for name, call in (("IpPermissions", ec2.authorize_security_group_ingress),
                               ("IpPermissionsEgress", ec2.authorize_security_group_egress)):  # fmt: skip
                call(GroupId=id_, IpPermissions=group[name])
                [kept] = ec2.describe_security_groups(GroupIds=[id_])["SecurityGroups"]
                assert pairs(kept[name]) == pairs(group[name])


def pairs(permissions: list[dict]) -> set[tuple]:
    return {
        (p["IpProtocol"], p["FromPort"], peer.get("CidrIp") or peer.get("CidrIpv6") or peer.get("GroupId"))
        for p in permissions
        for kind in ("IpRanges", "Ipv6Ranges", "UserIdGroupPairs")
        for peer in p.get(kind, ())
    }


def test_what_one_security_group_lets_out_the_other_lets_in():
    rows = of(
        endpoint(id="test.ssh", host=NODES, ports=22, protocol=Protocol.TCP),
        endpoint(id="test.home", host=CONTROL_PLANE, ports=443, plane=Plane.DATA),
        endpoint(id="test.peers", host=PEERS, ports=5432, protocol=Protocol.TCP, plane=Plane.DATA),
        endpoint(id="test.clients", host=CLIENTS, ports=5432, protocol=Protocol.TCP, plane=Plane.DATA,
                 direction=Direction.INBOUND),
        endpoint(id="test.users", host=USERS, direction=Direction.INBOUND),
    )  # fmt: skip
    control, nodes = json.loads(render(rows, "aws-security-groups"))["SecurityGroups"]
    assert ("tcp", 22, "{ccx-nodes}") in pairs(control["IpPermissionsEgress"])
    assert ("tcp", 22, "{ccx-control}") in pairs(nodes["IpPermissions"])
    assert ("tcp", 443, "{ccx-control}") in pairs(nodes["IpPermissionsEgress"])
    assert ("tcp", 443, "{ccx-nodes}") in pairs(control["IpPermissions"])
    assert ("tcp", 5432, "{ccx-nodes}") in pairs(nodes["IpPermissionsEgress"]) & pairs(nodes["IpPermissions"])
    assert ("tcp", 5432, "0.0.0.0/0") in pairs(nodes["IpPermissions"])
    assert ("tcp", 443, "0.0.0.0/0") in pairs(control["IpPermissions"])


def test_network_firewalls_own_model_takes_the_domain_lists():
    model = ServiceModel(Loader().load_service_model("network-firewall", "service-2"))
    shape = model.operation_model("CreateRuleGroup").input_shape
    groups = json.loads(render(LARGEST, "aws-network-firewall"))["RuleGroups"]
    for group in groups:
        report = ParamValidator().validate(group, shape)
        assert not report.has_errors(), report.generate_report()
        assert re.fullmatch(r"[a-zA-Z0-9-]{1,128}", group["RuleGroupName"])
        assert len(group["Description"]) <= 512
    by_name = {g["RuleGroupName"]: g["RuleGroup"]["RulesSource"]["RulesSourceList"]["Targets"] for g in groups}
    assert set(by_name["ccx-data-http"]) >= {"repo.percona.com", "apt.postgresql.org", "dlm.mariadb.com"}
    assert ".s3.eu-west-1.amazonaws.com" in by_name["ccx-data-https"]
    wanted = {h.removeprefix("*") for h in hosts(LARGEST, Plane.CONTROL, protocols=(Protocol.HTTPS,))}
    assert set(by_name["ccx-control-https"]) == wanted


# --- OpenStack ---------------------------------------------------------------------------------------------------


def test_openstacks_rules_are_as_neutron_documents_them():
    document = json.loads(render(LARGEST, "openstack"))
    groups = {g["name"] for g in document["security_groups"]}
    seen = set()
    for rule in document["security_group_rules"]:
        assert rule["security_group_id"].strip("{}") in groups
        assert rule["direction"] in ("ingress", "egress")
        assert rule["ethertype"] in ("IPv4", "IPv6")
        assert rule["protocol"] in ("tcp", "udp")
        assert 1 <= rule["port_range_min"] <= rule["port_range_max"] <= 65535
        assert len(rule["description"]) <= 255
        assert ("remote_group_id" in rule) != ("remote_ip_prefix" in rule)
        if "remote_ip_prefix" in rule:
            assert (":" in rule["remote_ip_prefix"]) is (rule["ethertype"] == "IPv6")
        key = tuple(sorted((k, v) for k, v in rule.items() if k != "description"))
        assert key not in seen, "Neutron refuses a rule that exists"
        seen.add(key)
    assert any(r.get("remote_group_id") == "{ccx-nodes}" and r["port_range_min"] == 22 for r in
               document["security_group_rules"])  # fmt: skip


# --- lists and the console ---------------------------------------------------------------------------------------


def test_lists_hold_one_entry_a_line_sorted_and_once():
    inside = {"host": "localhost", "direction": Direction.INTERNAL, "plane": Plane.INTERNAL}
    rows = of(endpoint(path="/x", behind=("cdn.example",)), endpoint(id="test.ip", host="192.0.2.1", ports=8443),
              endpoint(id="test.wild", host="*.s3.example"), endpoint(id="test.nodes", host=NODES, ports=22),
              endpoint(id="test.inside", **inside))  # fmt: skip
    assert render(rows, "list-domains") == "*.s3.example\napi.example\ncdn.example\n"
    assert render(rows, "list-addresses") == "192.0.2.1\n"
    assert render(rows, "list-urls") == "*.s3.example/\n192.0.2.1:8443/\napi.example/x\ncdn.example/\n"


def csp(settings) -> dict[str, list[str]]:
    """A policy, parsed as CSP 3's grammar has it."""
    policy = {}
    for directive in render(plan(settings), "csp").strip().split("; "):
        name, *sources = directive.split(" ")
        assert re.fullmatch(r"[a-z-]+", name)
        assert name not in policy
        assert all(re.fullmatch(r"'(?:self|none)'|data:|https://[a-z0-9.-]+(?::\d+)?", s) for s in sources), sources
        policy[name] = sources
    return policy


def test_the_consoles_policy_has_stripes_hosts_only_with_stripe():
    on, off = csp(ALL), csp(ALL.model_copy(update={"stripe": False, "piwik_url": ""}))
    assert "https://js.stripe.com" in on["script-src"]
    assert "https://js.stripe.com" in on["frame-src"]
    assert "https://api.stripe.com" in on["connect-src"]
    assert "https://severalnines.containers.piwik.pro" in on["script-src"]
    assert "stripe" not in str(off)
    assert "piwik" not in str(off)
    assert off["frame-src"] == off["object-src"] == ["'none'"]


# --- what a firewall between the machines and the world must not hold -------------------------------------------

OUTER = sorted(set(FORMATS) - {"checklist", "csp", "csv", "json", "markdown"})


@pytest.mark.parametrize("fmt", OUTER)
def test_what_browsers_and_installers_reach_is_opened_on_no_server(fmt):
    """A proxy and lists may serve the machine that installs as well; nothing is for browsers."""
    text = render(LARGEST, fmt)
    browsers = hosts(LARGEST, Plane.BROWSER) - hosts(LARGEST, Plane.CONTROL, Plane.DATA, Plane.INSTALL)
    assert browsers >= {"js.stripe.com", "st.s9s.io", "severalnines.piwik.pro"}
    installing = {r.id for r in LARGEST.rows if r.plane is Plane.INSTALL}
    assert "charts.nats" in installing
    assert not [host for host in browsers if host in text]
    assert not [id_ for id_ in installing if id_ in text and fmt != "squid"]


@pytest.mark.parametrize("fmt", OUTER)
def test_what_services_ask_of_each_other_is_in_no_rule_of_an_outer_firewall(fmt):
    """But for what holds on the machine or in the cluster itself: nftables' output, and the cluster's policies."""
    inside = {r.id for r in LARGEST.rows if r.plane is Plane.INTERNAL}
    shown = {id_ for id_ in inside if id_ in render(LARGEST, fmt)}
    assert bool(shown) is (fmt in ("kubernetes", "nftables"))


# --- Markdown ----------------------------------------------------------------------------------------------------


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text, as a reader of GitHub's dialect sees them: rows of cells."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).disable("linkify").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append(token.content)
    return found


def test_a_reader_of_markdown_sees_every_row_with_all_its_cells():
    found = tables(render(LARGEST, "markdown"))
    assert sum(len(table) - 1 for table in found) == len(LARGEST.rows)
    assert {len(row) for table in found for row in table} == {6}
    assert [row[0] for row in tables(render(of(endpoint(purpose="a | b")), "markdown"))[0]] == ["host", "`api.example`"]


def test_a_reader_of_markdown_sees_every_line_of_the_checklist_as_a_task():
    tokens = MarkdownIt("commonmark").parse(render(LARGEST, "checklist"))
    items = [token.content for token in tokens if token.type == "inline" and token.level == 3]
    assert len(items) >= len(SEED_LINES)
    assert all(re.match(r"\[[ x]\] \S", item) for item in items)


# --- the checklist -----------------------------------------------------------------------------------------------


def lines(settings, **options) -> dict[str, bool]:
    text = render(plan(settings), "checklist", **options)
    return {line[6:]: line.startswith("- [x]") for line in text.splitlines() if line.startswith("- [")}


def ticked(settings, start: str) -> bool:
    found = [done for words, done in lines(settings).items() if words.startswith(start)]
    assert len(found) == 1, start
    return found[0]


SEED_LINES = [
    "Container image registries", "cmon.license pre-set", "Nodes can reach europe-apt.pkg.dev",
    "Nodes can reach packages.fluentbit.io", "Nodes can reach the backup store", "Cloud APIs",
    "severalnines.com/service/lic.php", "SMTP host", "hooks.slack.com", "events.pagerduty.com", "api.stripe.com",
    "DNS provider", "Helm chart repositories",
]  # fmt: skip


@pytest.mark.parametrize("start", SEED_LINES)
def test_with_all_on_and_nothing_done_every_line_is_left_to_do(start):
    assert not ticked(ALL, start)


def test_lines_are_ticked_from_settings():
    done = ALL.model_copy(
        update={
            "license": License(preset=True), "notify": Notify(), "stripe": False,
            "kubernetes": ALL.kubernetes.model_copy(update={"image_registry": "registry.corp:5000"}),
            "mirror": Mirrors(packages="http://apt.corp", charts="https://charts.corp"),
        }
    )  # fmt: skip
    left = {start for start in SEED_LINES if not ticked(done, start)}
    assert left == {"Nodes can reach the backup store", "Cloud APIs", "DNS provider"}


def test_findings_stand_in_the_checklist():
    text = render(plan(ALL), "checklist")
    assert "registry.k8s.io`: it redirects" in text
    assert "cmon.license`: the licence is not pre-set" in text
    gap = ALL.model_copy(
        update={"kubernetes": ALL.kubernetes.model_copy(
            update={"image_registry": "r.corp", "images": (("cmon.image", "r.corp/cmon:latest"), ("x", "a@sha256:1")),
                    "external_dns": ALL.kubernetes.external_dns})}
    )  # fmt: skip
    text = render(plan(gap), "checklist")
    assert "`ccx.services.billing.stripe`: Stripe is on in an air gap" in text
    assert "`cmon.image`: the image r.corp/cmon:latest is whatever is latest" in text
    assert "a@sha256:1" not in text


def test_a_checklist_needs_settings():
    with pytest.raises(Invalid, match="ticked from settings"):
        render(Plan(LARGEST.rows), "checklist")


def test_nothing_planned_is_hidden_from_the_perimeter():
    assert "ccx_control_443" in render(of(endpoint(status=Status.PLANNED)), "squid")
