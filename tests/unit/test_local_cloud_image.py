from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.test_network_plan import SETTINGS

from ccx.clouds.local import image
from ccx.clouds.local.recipe import RECIPES
from ccx.cmon.engines import get
from ccx.cmon.engines.base import BakesSome
from ccx.errors import CcxError
from ccx.network.mirror.sources import node_packages
from ccx.settings.vendors import OFFERS

RELEASE = "Sat, 01 Aug 2026 09:00:00 UTC"


def finished(images: Path, kind: str, release: str, at: float) -> Path:
    home = images / RECIPES[kind].digest(release)
    (home / "root").mkdir(parents=True)
    (home / "image.json").write_text(json.dumps({"kind": kind, "release": release, "at": at}))
    return home / "root"


def test_an_image_is_named_by_all_that_it_is_made_of() -> None:
    baked = RECIPES["baked"]
    others = [
        baked.digest("another release"),
        replace(baked, packages=(*baked.packages, "zsh")).digest(RELEASE),
        replace(baked, script=baked.script + "true\n").digest(RELEASE),
        replace(baked, before="true").digest(RELEASE),
        RECIPES["stock"].digest(RELEASE),
    ]
    assert len({baked.digest(RELEASE), *others}) == 6
    assert baked.digest(RELEASE) == baked.digest(RELEASE)


def test_the_newest_of_todays_recipe_is_found_and_no_other(tmp_path: Path) -> None:
    finished(tmp_path, "baked", "older", 1)
    newest = finished(tmp_path, "baked", "newer", 2)
    finished(tmp_path, "stock", "newest", 3)
    foreign = tmp_path / "0123"
    foreign.mkdir()
    (foreign / "image.json").write_text(json.dumps({"kind": "baked", "release": "newest", "at": 4}))

    assert image.find_image("baked", tmp_path) == newest


def test_a_broken_off_build_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "0123.building" / "root").mkdir(parents=True)
    assert image.find_image("baked", tmp_path) is None


def test_an_image_that_is_there_is_used_when_the_archive_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCX_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    there = finished(tmp_path, "baked", RELEASE, 1)
    said: list[str] = []

    assert image.ensure_image("baked", tmp_path, said.append) == there
    assert "does not answer" in said[0]


def test_without_image_and_archive_it_says_what_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCX_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    with pytest.raises(CcxError, match="CCX_DEBIAN_MIRROR"):
        image.ensure_image("baked", tmp_path, lambda line: None)


def test_security_updates_come_from_beside_the_archive() -> None:
    assert "deb http://mirror.example/debian-security trixie-security main" in image.sources(
        "http://mirror.example/debian", RECIPES["baked"]
    )


@pytest.mark.parametrize("vendor", sorted(OFFERS))
def test_an_engines_image_holds_what_its_stock_nodes_install_and_nothing_of_it_starts(vendor: str) -> None:
    recipe, engine = RECIPES[get(vendor, SETTINGS).image], get(vendor, SETTINGS)
    baked = engine.baked if isinstance(engine, BakesSome) else OFFERS[vendor].versions
    for version in baked:
        assert set(recipe.packages) >= set(node_packages(vendor, version, engine.topologies[0]))
    off = recipe.script.partition("for unit in ")[2].partition(";")[0].split()
    assert set(off) >= set(engine.software.off)


def test_no_service_of_a_baked_image_starts_by_itself() -> None:
    script = RECIPES["baked"].script
    for service in ("etcd", "patroni", "postgresql", "prometheus-node-exporter"):
        assert service in script.partition("for unit in ")[2].partition(";")[0].split()
    assert "create_main_cluster = false" in RECIPES["baked"].before
