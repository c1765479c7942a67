"""Formats whose real consumers have to be fetched first: Neutron's own API, and a browser.

Neutron comes from PyPI, by hash, and is kept in ``build/``: a minute, so only with ``script/test --all``. The browser
is the system's, or the distribution's package unpacked beside the tests: 12 seconds. Where they can't be had the tests
are skipped, with the reason.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.consumers import chromium
from tests.unit.test_network_formats import ALL, LARGEST

from ccx.network.plan import plan
from ccx.network.render import render

HERE = Path(__file__).parent / "consumers"
BUILD = Path(__file__).parents[2] / "build"

pytestmark = pytest.mark.timeout(600)


# --- OpenStack ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def neutron() -> Path:
    """The Python of an environment with Neutron in it, kept between runs."""
    lock = HERE / "neutron.lock"
    made_for = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    python, done = BUILD / "neutron" / "bin" / "python", BUILD / "neutron" / made_for
    if done.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", python.parents[1]], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    how = ["--no-deps", "--no-compile", "--require-hashes", "--only-binary", ":all:"]
    got = subprocess.run([*pip, "install", *how, "-r", lock], capture_output=True, text=True)
    if got.returncode != 0:
        pytest.skip(f"Neutron can't be installed: {got.stderr.strip()[-300:]}")
    done.touch()
    return python


def asked(neutron: Path, folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """What Neutron says to the groups and rules."""
    file = folder / "rules.json"
    file.write_text(json.dumps(document))
    done = subprocess.run([neutron, "-W", "ignore", HERE / "neutron_api.py", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


KEYS = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "description")


@pytest.mark.slow
def test_neutron_takes_every_group_and_rule_and_gives_them_back(neutron, tmp_path):
    resolved = {"smtp.example": ["192.0.2.25", "2001:db8::25"]}
    document = json.loads(render(LARGEST, "openstack", resolved=resolved))
    rules = document["security_group_rules"]
    # Three that Neutron must refuse, or its consent to the others means nothing.
    v4 = next(rule for rule in rules if "." in rule.get("remote_ip_prefix", ""))
    wrong = [v4, {**v4, "port_range_max": 70000}, {**v4, "ethertype": "IPv6"}]
    said = asked(neutron, tmp_path, {**document, "security_group_rules": [*rules, *wrong]})
    assert [status for status, _ in said["groups"]] == [201, 201]
    refused = [answer for status, answer in said["rules"][: len(rules)] if status != 201]
    assert refused == []
    assert [status for status, _ in said["rules"][len(rules) :]] == [409, 400, 400]
    assert {tuple(rule[key] for key in KEYS) for rule in said["listed"]} == {
        tuple(rule.get(key) for key in KEYS) for rule in rules
    }


# --- the console's Content-Security-Policy -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> list[str]:
    return chromium.browser(tmp_path_factory.mktemp("chromium"))


ALLOWED = {
    "js.stripe.com": {"script-src", "frame-src", "connect-src"}, "api.stripe.com": {"script-src", "frame-src",
    "connect-src"}, "severalnines.piwik.pro": {"script-src", "img-src", "connect-src"}, "st.s9s.io": {"img-src"},
    "evil.example": set(),
}  # fmt: skip


def test_a_browser_loads_what_the_consoles_policy_allows_and_nothing_else(browser, tmp_path):
    page = chromium.load(browser, tmp_path, render(LARGEST, "csp").strip(), sorted(ALLOWED))
    loaded: dict[str, set[str]] = {host: set() for host in ALLOWED}
    for (way, host), blocked in page.blocked.items():
        if not blocked:
            loaded[host].add(way)
    assert loaded == ALLOWED
    assert "Unrecognized Content-Security-Policy directive" not in page.said
    assert "contains an invalid source" not in page.said


def test_without_stripe_and_analytics_a_browser_loads_nothing_of_theirs(browser, tmp_path):
    bare = plan(ALL.model_copy(update={"stripe": False, "piwik_url": ""}))
    page = chromium.load(browser, tmp_path, render(bare, "csp").strip(), ["js.stripe.com", "severalnines.piwik.pro"])
    assert len(page.blocked) == 10
    assert all(page.blocked.values())
