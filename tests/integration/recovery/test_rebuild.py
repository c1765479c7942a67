"""A control plane that comes back from its copy, or says why it can't before anything changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from tests.integration.recovery.plane import Plane

from ccx.embedded import recover
from ccx.errors import Conflict, Invalid, NotFound
from ccx.recovery import claim, rebuild
from ccx.recovery.claim import Own
from ccx.recovery.places import Series
from ccx.recovery.sealing import Damaged
from ccx.secrets import KeyRing

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives folders to the user that PostgreSQL runs as")


async def test_a_damaged_object_is_named_and_nothing_looks_like_a_database(plane: Plane, tmp_path: Path) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"")
    part = next(one.key for one in await plane.store.list(Series(plane.name, 1).bases) if one.key.endswith("000000"))
    await plane.store.put(part, (await plane.store.get(part))[:-1] + b"?")

    with pytest.raises(Damaged, match=part):
        await plane.rebuilt(tmp_path / "new")

    assert not (tmp_path / "new" / "data").exists()


async def test_what_can_not_be_recovered_is_named_before_anything_changes(plane: Plane, tmp_path: Path) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    with pytest.raises(NotFound, match="no complete copy of instance"):
        await plane.rebuilt(tmp_path / "new")
    await plane.copy().step(b"")
    with pytest.raises(Conflict, match="was made by PostgreSQL 18, this version of ccx brings 17"):
        await plane.rebuilt(tmp_path / "new", brought=17)
    plane.ring = KeyRing({1: os.urandom(32)})

    with pytest.raises(Invalid, match="does not open the copy"):
        await plane.rebuilt(tmp_path / "new")

    assert (await claim.newest(plane.store, plane.name)).generation == own.generation  # type: ignore[union-attr]


@pytest.mark.slow
async def test_a_recovery_that_was_broken_off_keeps_its_claim(plane: Plane, tmp_path: Path) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"")

    first = await plane.rebuilt(tmp_path / "new")
    again = await plane.rebuilt(tmp_path / "new")

    assert again.own == first.own
    assert again.own.recovered


async def test_a_control_plane_that_goes_on_is_not_recovered_beside(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"")
    monkeypatch.setattr(claim, "boot", lambda: "another machine's")
    monkeypatch.setattr(rebuild, "_GIVES_UP_WITHIN_S", 0.5)
    await claim.alive(plane.store, plane.name, own)

    for _ in range(2):  # the second time it has the claim already
        with pytest.raises(Conflict, match="goes on"):
            await plane.rebuilt(tmp_path / "new")
    await claim.alive(plane.store, plane.name, own, released=True)
    assert (await plane.rebuilt(tmp_path / "new")).own.generation == own.generation + 1


async def test_a_settings_file_says_where_a_store_elsewhere_is(plane: Plane, tmp_path: Path) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"configuration")
    cloud = plane.settings.clouds[0].model_dump(mode="json")
    file = tmp_path / "ccx.yaml"
    file.write_text(yaml.safe_dump({"clouds": [cloud]}))

    store = recover.named(plane.name, file)
    try:
        found = await rebuild.find(store, plane.name, plane.ring)
        with pytest.raises(NotFound, match=f"There is something of: .*{plane.name}"):
            await rebuild.find(store, "nobodys", plane.ring)
    finally:
        await store.close()

    assert found.base.generation == 1
    file.write_text(yaml.safe_dump({"clouds": [{**cloud, "s3_endpoint": ""}]}))
    with pytest.raises(Invalid, match="names no object store"):
        recover.named(plane.name, file)
