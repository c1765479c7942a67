"""A package repository out of nodes' reach: a creation fails at once with its row, and a probe tells it beforehand."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from tests.e2e.machine import CCX, Installed, eventually
from tests.e2e.machine import run as run_program
from tests.e2e.promises import promised
from tests.e2e.tenant import Tenant

from ccx.network.probe import schema

FAILS_WITHIN_S = 30.0
BOOTS_WITHIN_S = 5.0
"""Unless the machine is busy, which is not the probe's."""


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> Installed:
    """Its nodes install their packages from its mirror."""
    await new_installation.up("--image", "stock", "--no-resolve")
    return new_installation


@pytest.fixture(scope="module")
async def operator(installation: Installed, folder: Path) -> Path:
    """The folder of an operator's context."""
    password = f"/etc/ccx/{installation.instance}/operator.password"
    words = ("login", "--url", installation.url, "--login", "operator", "--password-file", password)
    await as_operator(folder, *words, "--ca-file", str(installation.ca))
    return folder


async def as_operator(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return await run_program(CCX, *words, check=check, env={"XDG_CONFIG_HOME": str(folder)})


@pytest.fixture(scope="module")
async def mirror(installation: Installed) -> str:
    """The address that packages come from."""
    settings = yaml.safe_load((installation.layout.etc / "ccx.yaml").read_text())
    return str(settings["mirror"]["packages"].rpartition("/")[2])


@pytest.fixture(scope="module")
async def blocked(installation: Installed, mirror: str) -> AsyncIterator[None]:
    """Packets to the mirror are dropped, as a firewall between networks would."""
    nft = ("ip", "netns", "exec", f"{installation.layout.namespace}-cloud", "nft")
    rule = f"ip daddr {mirror} tcp dport 80 drop"
    chain = f"chain input {{ type filter hook input priority filter; policy accept; {rule}; }};"
    await run_program(*nft, f"table inet blocked {{ {chain} }}")
    yield
    await run_program(*nft, "delete table inet blocked")


async def on_cloud(operator: Path) -> list[dict[str, Any]]:
    told = await as_operator(operator, "cloud", "inventory", "--output", "json")
    found: list[dict[str, Any]] = json.loads(told.stdout)
    return found


@pytest.mark.usefixtures("blocked")
async def test_a_blocked_repository_is_named_within_half_a_minute_and_nothing_is_left(
    tenant: Tenant, operator: Path, mirror: str
) -> None:
    promised("packages.debian", "names this repository", "is undone")
    began = time.monotonic()
    store = await tenant.order("stock", 1)

    async def failed() -> bool:
        return (await store.show())["cluster_status"] == "DEPLOY_FAILED"

    await eventually(failed, 4 * FAILS_WITHIN_S, every=0.2, what="the creation fails")
    took = time.monotonic() - began

    job = await store.job("JOB_TYPE_DEPLOY_DATASTORE")
    assert f"can't reach {mirror}:80 (packages." in job["error"]
    assert "packages.debian" in job["error"]
    assert f"llow TCP 80 from the datastores' nodes to {mirror}" in job["remedy"]
    assert "While it is blocked: " in job["remedy"]
    assert not [step["name"] for step in job["steps"] if step["name"].startswith(("packages", "configure"))]
    boot = next(step for step in job["steps"] if step["name"] == "boot")
    assert took - max(0.0, _seconds(boot) - BOOTS_WITHIN_S) < FAILS_WITHIN_S, job["steps"]
    assert await on_cloud(operator) == []


@pytest.mark.usefixtures("blocked")
async def test_a_probe_from_a_node_tells_it_beforehand_and_the_node_is_gone_after(operator: Path, mirror: str) -> None:
    words = ("network", "probe", "--from", "data", "--cloud", "local", "--output", "json")
    done = await as_operator(operator, *words, check=False)

    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    jsonschema_rs.validator_for(schema()).validate(report)
    assert report["from"] == "a node on local (local)"
    by_id = {outcome["id"]: outcome for outcome in report["outcomes"]}
    assert by_id["packages.debian"]["code"] == "timeout"
    assert by_id["packages.debian"]["rule"] == f"allow TCP 80 from the datastores' nodes to {mirror}"
    assert by_id["node.control-plane"]["result"] == by_id["node.dns-udp"]["result"] == "ok"
    assert by_id["node.control-plane"]["certificate"]["days"] > 300
    assert by_id["packages.debian"]["when_blocked"] in done.stderr
    assert await on_cloud(operator) == []
    listed = json.loads((await as_operator(operator, "datastore", "list", "--output", "json")).stdout)
    assert listed == []


def _seconds(step: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds()
