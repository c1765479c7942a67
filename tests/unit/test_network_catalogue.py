"""The whole contract loads, fast and alone, and is complete."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module

import pytest
from tests.unit.test_network_endpoint import endpoint

from ccx.errors import Invalid
from ccx.network import Direction, Group, Plane, Protocol, declare
from ccx.network import catalogue as catalogue_module
from ccx.network.catalogue import load, modules
from ccx.network.registry import declared

FACTS = {
    "section": 5, "host": "twice.example", "ports": 443, "protocol": Protocol.HTTPS, "direction": Direction.OUTBOUND,
    "plane": Plane.CONTROL, "service": "test", "purpose": "a test", "when_blocked": "the test fails",
}  # fmt: skip


@pytest.fixture
def registry(monkeypatch):
    """What a test declares is forgotten afterwards."""
    monkeypatch.setattr("ccx.network.registry._declared", declared())


@pytest.mark.parametrize("path", modules(), ids=lambda p: "/".join(p.parts[-3:]))
def test_a_declaring_module_imports_only_the_contract_and_settings(path):
    allowed = (
        "ccx.network",
        "ccx.settings",
        "ccx.errors",
        "__future__",
        "typing",
        "collections.abc",
        "dataclasses",
        "urllib.parse",
    )
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        assert all(name.startswith(allowed) for name in names), (path, names)


def test_the_catalogue_loads_without_any_library_of_others():
    code = (
        "import sys; from ccx.network import catalogue; catalogue.load();"
        "print(sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names) - {'ccx'}))"
    )
    loaded = subprocess.run([sys.executable, "-S", "-c", "import sys; sys.path[:0]=" + repr(sys.path) + ";" + code],
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert ast.literal_eval(loaded.stdout) in ([], ["__main__"])


def test_a_package_finds_the_declarations_that_the_catalogue_loaded():
    by_id = load()
    assert import_module("ccx.cmon.endpoints").SSH_TO_NODES is by_id["cmon.ssh"]
    assert import_module("ccx.db.endpoints").POSTGRESQL is by_id["db.postgresql"]


def test_every_declaration_is_loaded_once_and_knows_its_module():
    for id_, found in load().items():
        assert found.id == id_
        assert found.module.endswith(".endpoints") or found.module.startswith("ccx.network.planned."), found


def test_what_the_specification_omits_says_why_it_is_there():
    assert all(e.reason for e in load().values() if e.section is None)
    assert all(e.section is None or 1 <= e.section <= 10 for e in load().values())


def test_an_id_declared_twice_fails_the_import(registry):
    declare(id="test.twice", **FACTS)
    with pytest.raises(Invalid, match=r"test\.twice is declared twice"):
        declare(id="test.twice", **FACTS)


def test_the_declaring_module_is_recorded(registry):
    assert declare(id="test.once", **FACTS).module == __name__


def test_declarations_that_contradict_each_other_are_refused():
    with pytest.raises(Invalid, match="speaks HTTPS"):
        catalogue_module._refuse_contradictions([endpoint(), endpoint(id="test.other", protocol=Protocol.HTTP)])


def test_inbound_declarations_name_a_group_that_comes():
    for found in load().values():
        if found.direction is Direction.INBOUND:
            assert isinstance(found.host, Group), found.id
