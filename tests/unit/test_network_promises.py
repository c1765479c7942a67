"""Each row that the main job can't do without is blocked in a test of its own, which sees its promise kept."""

from __future__ import annotations

import ast
from collections import defaultdict
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from ccx.embedded.defaults import settings_text, with_changes
from ccx.embedded.layout import Layout
from ccx.network import Plane, Status
from ccx.network.plan import plan
from ccx.settings import Settings

E2E = Path(__file__).parents[1] / "e2e"
STOCK = "clouds.local.image=stock"
MIRROR = ("mirror.packages=http://10.224.16.4", "mirror.key=/etc/ccx/default/mirror.asc")


def settings(*changes: str) -> Settings:
    """Those of an instance that ``ccx up`` has just made."""
    text = settings_text(Layout("default", IPv4Network("10.224.16.0/20"), "0.0.0.0:443"))
    raw = yaml.safe_load(with_changes(text, changes))
    return Settings.model_validate({**raw, "paths": {"etc": "/e", "var": "/v", "run": "/r"}})


def blocked_in(source: str) -> dict[str, set[str]]:
    """The rows that a module's tests (``test_...`` functions) see the promises of, each with those tests."""
    found: dict[str, set[str]] = defaultdict(set)
    for test in ast.parse(source).body:
        if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef) and test.name.startswith("test_"):
            for call in ast.walk(test):
                match call:
                    case ast.Call(func=ast.Name(id="promised"), args=[ast.Constant(value=str(row)), *words]) if words:
                        found[row].add(test.name)
    return found


def all_blocked() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for module in E2E.rglob("test_*.py"):
        for row, tests in blocked_in(module.read_text()).items():
            found[row] |= {f"{module.name}::{test}" for test in tests}
    return found


@pytest.mark.parametrize("changes", [(), (STOCK, *MIRROR), (STOCK,)], ids=["baked", "stock", "vendors"])
def test_every_required_row_of_the_main_job_is_blocked_in_some_test(changes: tuple[str, ...]) -> None:
    used = {
        row.id
        for row in plan(settings(*changes)).select(Plane.CONTROL, Plane.DATA, Plane.INTERNAL, status=Status.BUILT)
        if row.required
    }
    assert used >= {"cmon.ssh", "node.control-plane", "postgres.peers.etcd", "state.nats"}
    assert used - set(all_blocked()) == set(), "block it in tests/e2e, and say promised(row, words of its when_blocked)"


def test_only_a_test_that_says_what_was_promised_counts() -> None:
    assert blocked_in("async def test_it():\n    promised('a.row', 'words')") == {"a.row": {"test_it"}}
    assert blocked_in("async def helper():\n    promised('a.row', 'words')") == {}
    assert blocked_in("async def test_it():\n    promised('a.row')") == {}
