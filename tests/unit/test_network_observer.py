"""The kernel remembers who opened connections to what, and what of them got through, whatever refuses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.test_network_endpoint import endpoint
from tests.unit.test_network_nftables import in_a_namespace, needs_root
from tests.unit.test_network_plan import SETTINGS

from ccx.network import NODES, Protocol, observer
from ccx.network.plan import plan
from ccx.network.render import render

GROUPS = Path("/sys/fs/cgroup/unified")
needs_groups = pytest.mark.skipif(
    os.getuid() != 0 or not (GROUPS if GROUPS.exists() else GROUPS.parent).joinpath("cgroup.procs").exists(),
    reason="needs root and control groups of version 2",
)


def listing(chain: str, *elements: tuple[list[object], int, int], kind: str = "unit") -> str:
    """As nft prints it: (key, packets, seconds ago)."""
    return json.dumps(
        {
            "nftables": [
                {"metainfo": {"version": "1.0.6"}},
                {
                    "set": {
                        "name": f"{chain}_{kind}_ip",
                        "elem": [
                            {
                                "elem": {
                                    "val": {"concat": key},
                                    "expires": observer.KEPT_S - ago,
                                    "counter": {"packets": packets, "bytes": 0},
                                }
                            }
                            for key, packets, ago in elements
                        ],
                    }
                },
            ]
        }
    )


ETCD = ["unified/system.slice/ccx-etcd.service", 103, "10.9.0.2", "tcp", 2380]


def test_what_did_not_get_through_was_refused_and_the_last_attempt_counts():
    [seen] = observer.parse(listing("tried", (ETCD, 5, 10)), listing("passed", (ETCD, 3, 60)))
    assert seen == observer.Seen("10.9.0.2", 2380, "tcp", 103, ("ccx-etcd.service",), passed=3, refused=2, idle=10)


def test_what_comes_between_the_two_readings_is_not_taken_for_refused():
    [more, new] = observer.parse(
        listing("tried", (ETCD, 5, 1)), listing("passed", (ETCD, 6, 0), ([*ETCD[:2], "10.9.0.3", *ETCD[3:]], 1, 0))
    )
    assert (more.passed, more.refused) == (6, 0)
    assert (new.passed, new.refused) == (1, 0)


def test_units_of_one_user_are_named_together_and_those_that_are_gone_not_at_all():
    other = ["system.slice/x.service", *ETCD[1:]]
    gone = ["307141", *ETCD[1:]]
    [seen] = observer.parse(listing("tried", (ETCD, 1, 5), (other, 1, 4), (gone, 1, 3)), listing("passed"))
    assert seen.units == ("ccx-etcd.service", "x.service")
    assert (seen.refused, seen.idle) == (3, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"nftables": 1}',
        '{"nftables": [1]}',
        listing("tried", (["x", 1, "10.0.0.1", "tcp"], 1, 1)),
        listing("tried", (["x", 1, "no address", "tcp", 80], 1, 1)),
        listing("tried", (["x", 1, "10.0.0.1", "tcp", 99999], 1, 1)),
        listing("tried", (["x", -1, "10.0.0.1", "tcp", 80], 1, 1)),
        listing("tried", (["x", 1, "10.0.0.1", "icmp", 80], 1, 1)),
        listing("tried", (["x", 1, "10.0.0.1", "tcp", 80], 2**80, 1)),
        listing("tried", (["x", 1, "10.0.0.1", "tcp", 80], 1, -5)),
    ],
)
def test_what_a_broken_node_tells_is_refused_as_a_whole(text: str):
    with pytest.raises(ValueError, match="no list of nft's"):
        observer.parse(text, listing("passed"))


def test_a_units_name_holds_nothing_that_a_terminal_obeys():
    [seen] = observer.parse(listing("tried", (["system.slice/\x1b[2Jx", *ETCD[1:]], 1, 1)), listing("passed"))
    assert seen.units == ()


@needs_root
def test_an_address_has_the_names_that_the_resolver_filled_into_the_rules() -> None:
    rows = plan(SETTINGS, [endpoint(behind=("cdn.example",)), endpoint(id="test.n", host=NODES)])
    resolved = {"api.example": ["192.0.2.7", "192.0.2.8", "2001:db8::7"], "cdn.example": ["192.0.2.8"]}
    listed = in_a_namespace(
        f"nft -f - && {' '.join(observer.ALLOWED)}", given=render(rows, "nftables", resolved=resolved)
    )
    names = observer.named(listed.stdout, ["api.example", "cdn.example", "other.example"])
    assert names("192.0.2.7") == names("2001:db8::7") == ("api.example",)
    assert names("192.0.2.8") == ("api.example", "cdn.example")
    assert names("192.0.2.9") == ()
    assert observer.named("", ["api.example"])("192.0.2.7") == ()


@needs_root
@pytest.mark.parametrize("units", [True, False])
def test_nft_takes_the_rules_twice_and_forgets_nothing(units: bool, tmp_path: Path):
    known = "add element inet ccx_observed tried_user_ip { 0 . 192.0.2.1 . tcp . 80 }"
    (file := tmp_path / "rules.nft").write_text(observer.rules(units=units))
    done = in_a_namespace(f"nft -f {file}; nft '{known}'; nft -f {file}; {' '.join(observer.READ)}")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["nftables"]
    assert [s["set"]["elem"] for s in listed if "elem" in s.get("set", {})]
    rules = [r for r in listed if "rule" in r]
    assert len(rules) == len({json.dumps(r["rule"]["expr"]) + r["rule"]["chain"] for r in rules})


@needs_root
@needs_groups
def test_the_kernel_tells_what_got_through_what_was_refused_and_from_which_unit():
    rows = plan(SETTINGS, [endpoint(host=NODES, ports=22, protocol=Protocol.TCP)])
    wire = Path(__file__).with_name("network_wire.py")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, wire, "--as-unit", "22", "23"], text=True, capture_output=True,
        input=observer.rules(units=True) + render(rows, "nftables", log_group=None),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["observed"]
    seen = {one.port: one for one in observer.parse(told, told)}
    assert (seen[22].passed, seen[22].refused) == (1, 0)
    assert (seen[23].passed, seen[23].refused) == (0, 1)
    assert seen[22].units == seen[23].units == ("wire.service",)
