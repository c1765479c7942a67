"""The ruleset is one that nft loads, and the kernel then lets pass what the plan holds and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.test_network_endpoint import endpoint
from tests.unit.test_network_plan import SETTINGS

from ccx.errors import Invalid
from ccx.network import NODES, Direction, Plane, Protocol, Status
from ccx.network.page import everything
from ccx.network.plan import plan
from ccx.network.render import render

needs_root = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("nft") or not shutil.which("unshare"), reason="needs root, nft and unshare"
)


def in_a_namespace(script: str, *, given: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a network namespace of its own, gone afterwards."""
    return subprocess.run(["unshare", "--net", "sh", "-ec", script], input=given, capture_output=True, text=True)


@needs_root
@pytest.mark.parametrize("plane", [Plane.CONTROL, Plane.DATA])
def test_nft_accepts_the_whole_plan(plane):
    checked = in_a_namespace("nft -c -f -", given=render(plan(SETTINGS), "nftables", plane=plane))
    assert checked.stderr == ""
    assert checked.returncode == 0


@needs_root
def test_nft_accepts_names_wildcards_and_both_ip_versions():
    rows = [
        endpoint(behind=("cdn.example",)),
        endpoint(id="test.wild", host="*.s3.example"),
        endpoint(id="test.literal", host="192.0.2.1"),
        endpoint(id="test.six", host="2001:db8::1"),
        endpoint(id="test.dns", host="192.0.2.53", ports=53, protocol=Protocol.UDP, purpose='says "quote"'),
    ]
    resolved = {"api.example": ["192.0.2.7", "2001:db8::7"]}
    text = render(plan(SETTINGS, rows), "nftables", resolved=resolved)
    checked = in_a_namespace("nft -f - && nft -j list ruleset", given=text)
    assert checked.returncode == 0, checked.stderr
    listed = json.loads(checked.stdout)["nftables"]
    sets = {s["set"]["name"]: s["set"].get("elem", []) for s in listed if "set" in s}
    assert sets["api_example_v4"] == ["192.0.2.7"]
    assert sets["api_example_v6"] == ["2001:db8::7"]
    assert sets["cdn_example_v4"] == sets["s3_example_v4"] == []


@needs_root
def test_the_kernel_passes_the_plan_and_refuses_and_counts_the_rest_at_once():
    rows = plan(SETTINGS, [endpoint(host=NODES, ports=22, protocol=Protocol.TCP)])
    wire = Path(__file__).with_name("network_wire.py")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, wire, "22", "23"],
        input=render(rows, "nftables", log_group=None), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tried"]["22"][0] == "connected"
    what, after = found["tried"]["23"]
    assert what == "ConnectionRefusedError"
    assert after < 2
    assert found["refused"] >= 1


def test_policy_is_drop_and_loading_again_replaces():
    text = render(plan(SETTINGS), "nftables")
    assert "policy drop;" in text
    rules = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert rules.startswith("table inet ccx_egress\ndelete table inet ccx_egress\n")


def test_planned_rows_are_named_and_opened_only_when_asked_for():
    found = plan(SETTINGS, [endpoint(status=Status.PLANNED)])
    assert "# planned, not opened: test.thing api.example:443 HTTPS\n" in render(found, "nftables")
    assert "api_example_v4" not in render(found, "nftables") + render(found, "dnsmasq")
    opened = render(found, "nftables", planned=True)
    assert "not opened" not in opened
    assert "@api_example_v4 tcp dport 443" in opened
    assert "api_example_v4" in render(found, "dnsmasq", planned=True)


def test_groups_are_filled_from_what_is_passed_in_and_left_empty_when_nobody_knows():
    blind = plan(SETTINGS.model_copy(update={"node_network": ""}), [endpoint(host=NODES, ports=22)])
    assert "elements" not in render(blind, "nftables")
    assert "elements = { 10.9.0.0/16, 10.8.0.1 }" in render(
        blind, "nftables", groups={NODES: ["10.9.0.0/16", "10.8.0.1"]}
    )
    with pytest.raises(Invalid, match="no network"):
        render(blind, "nftables", groups={NODES: "nodes; flush ruleset"})


def test_nothing_is_opened_for_planned_inbound_install_or_loopback_rows():
    rows = [
        endpoint(status=Status.PLANNED),
        endpoint(id="test.in", host=NODES, direction=Direction.INBOUND),
        endpoint(id="test.install", plane=Plane.INSTALL),
        endpoint(id="test.loop", host="localhost", plane=Plane.INTERNAL),
        endpoint(id="test.data", plane=Plane.DATA),
    ]
    assert "dport" not in render(plan(SETTINGS, rows), "nftables")
    assert "dport" in render(plan(SETTINGS, rows), "nftables", plane=Plane.DATA)


def test_the_resolver_fills_the_sets_of_named_hosts():
    rows = plan(SETTINGS, [endpoint(host="*.s3.example", behind=("cdn.example",)), endpoint(id="test.n", host=NODES)])
    assert render(rows, "dnsmasq").splitlines() == [
        "nftset=/s3.example/4#inet#ccx_egress#s3_example_v4,6#inet#ccx_egress#s3_example_v6",
        "nftset=/cdn.example/4#inet#ccx_egress#cdn_example_v4,6#inet#ccx_egress#cdn_example_v6",
    ]


@pytest.mark.skipif(not shutil.which("dnsmasq"), reason="needs dnsmasq")
def test_dnsmasq_accepts_its_lines(tmp_path):
    (tmp_path / "c").write_text(render(plan(SETTINGS, [endpoint(behind=("cdn.example",))]), "dnsmasq"))
    checked = subprocess.run(["dnsmasq", "--test", "-C", tmp_path / "c"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@needs_root
@pytest.mark.parametrize("plane", [Plane.CONTROL, Plane.DATA])
def test_nft_accepts_the_largest_plan_with_all_that_is_planned(plane):
    checked = in_a_namespace("nft -c -f -", given=render(plan(everything()), "nftables", plane=plane, planned=True))
    assert checked.stderr == ""
    assert checked.returncode == 0


ASK = """
import dns.exception, dns.message, dns.query
for name, kind in (("api.example", "A"), ("api.example", "AAAA"), ("bucket.s3.example", "A"), ("other.example", "A")):
    for attempt in range(30):  # until both servers listen
        try:
            answer = dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", timeout=1)
        except (dns.exception.Timeout, OSError):
            continue
        if answer.answer:
            break
    else:
        raise SystemExit(f"nobody answered for {name}")
"""


@needs_root
@pytest.mark.skipif(not shutil.which("dnsmasq"), reason="needs dnsmasq")
def test_a_name_is_allowed_at_the_addresses_that_the_resolver_answered(tmp_path):
    rows = plan(SETTINGS, [endpoint(), endpoint(id="test.wild", host="*.s3.example")])
    (tmp_path / "rules").write_text(render(rows, "nftables"))
    (tmp_path / "sets").write_text(render(rows, "dnsmasq"))
    (tmp_path / "ask.py").write_text(ASK)
    upstream = " ".join(
        f"--address=/{name}/{address}"
        for name, address in (("api.example", "192.0.2.7"), ("api.example", "2001:db8::7"),
                              ("bucket.s3.example", "192.0.2.8"), ("other.example", "192.0.2.9"))
    )  # fmt: skip
    common = "--no-hosts --no-resolv --user=root --bind-interfaces --listen-address=127.0.0.1 --keep-in-foreground"
    script = f"""
        ip link set lo up
        nft -f {tmp_path}/rules
        dnsmasq {common} --conf-file=/dev/null --port=5300 {upstream} & upstream=$!
        dnsmasq {common} --conf-file={tmp_path}/sets --port=53 --server=127.0.0.1#5300 & resolver=$!
        trap 'kill $upstream $resolver' EXIT
        {sys.executable} {tmp_path}/ask.py
        nft -j list sets
    """
    done = in_a_namespace(script)
    assert done.returncode == 0, done.stderr
    sets = {s["set"]["name"]: s["set"].get("elem", []) for s in json.loads(done.stdout)["nftables"] if "set" in s}
    assert sets == {
        "api_example_v4": ["192.0.2.7"], "api_example_v6": ["2001:db8::7"],
        "s3_example_v4": ["192.0.2.8"], "s3_example_v6": [],
    }  # fmt: skip
