"""A control plane as its copy, its claim and its recovery see it, for real: a PostgreSQL and a SeaweedFS."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.postgres_server import PostgresServer
from tests.seaweedfs import SeaweedFs

from ccx.db import make_engine
from ccx.recovery import claim, rebuild
from ccx.recovery.copy import Copy
from ccx.recovery.database import Database
from ccx.recovery.places import Series
from ccx.secrets import KeyRing
from ccx.settings import CloudConfig, InstanceType, Paths, Region, Settings, VolumeType
from ccx.storage.light import Shelf
from ccx.storage.opened import open_shelf


@dataclass
class Plane:
    """A control plane's parts that matter here."""

    settings: Settings
    engine: AsyncEngine
    server: PostgresServer
    ring: KeyRing
    store: Shelf

    @property
    def name(self) -> str:
        return self.settings.instance

    @property
    def var(self) -> Path:
        return self.settings.paths.var

    def copy(self, generation: int = 1) -> Copy:
        database = Database(self.settings, self.engine, self.server.bin)
        return Copy(self.store, database, self.ring, Series(self.name, generation), 18)

    async def execute(self, statement: str) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement))

    async def rebuilt(self, folder: Path, *, brought: int = 18) -> rebuild.Rebuilt:
        """As ``ccx recover`` does on a new machine whose state is ``folder``."""
        folder.mkdir(exist_ok=True)
        said: list[str] = []
        return await rebuild.rebuild(self.store, self.name, self.ring, brought, folder, folder / "data", said.append)


def settings_for(folder: Path, weed: SeaweedFs, **cloud: object) -> Settings:
    keys = folder / "keys"
    keys.write_text(f"{weed.keys.access_key}\n{weed.keys.secret_key}\n")
    keys.chmod(0o600)
    run = folder / "run"
    values = {
        "code": "local", "type": "local", "name": "Local", "regions": (Region(code="l", name="l"),),
        "instance_types": (InstanceType(code="tiny", name="Tiny", type="tiny", cpu=1, ram=1),),
        "volume_types": (VolumeType(code="ssd", name="SSD"),),
        "s3_endpoint": weed.location.endpoint, "s3_bucket": "backups",
        "s3_ca": weed.ca, "s3_credentials": keys,
    }  # fmt: skip
    return Settings(
        instance=f"i{uuid4().hex[:8]}",
        paths=Paths(etc=folder / "etc", var=folder / "var", run=run),
        dsn=f"postgresql+psycopg://ccx@/ccx?host={run / 'postgresql'}",
        clouds=(CloudConfig.model_validate({**values, **cloud}),),
    )


@asynccontextmanager
async def plane_of(server: PostgresServer, weed: SeaweedFs, folder: Path) -> AsyncIterator[Plane]:
    settings = settings_for(folder, weed)
    (settings.paths.var / "postgresql").mkdir(parents=True)
    (settings.paths.var / "postgresql" / "data").symlink_to(server.home / "data")
    settings.paths.run.mkdir()
    (settings.paths.run / "postgresql").symlink_to(server.home)
    with server.connect() as connection:
        connection.execute("drop database if exists ccx with (force)")
        connection.execute("create database ccx")
        connection.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
    engine, store = make_engine(settings.dsn), open_shelf(settings.clouds[0], settings)
    try:
        yield Plane(settings, engine, server, KeyRing({1: os.urandom(32)}), store)
    finally:
        await engine.dispose()
        await store.close()


def other_machine(plane: Plane, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State of its own, and a run of the machine of its own."""
    folder.mkdir()
    monkeypatch.setattr(claim, "boot", lambda: f"boot of {folder.name}")
    return folder


def rows_in(data: Path, plane: Plane) -> list[int]:
    """What a PostgreSQL finds that is started on these files."""
    home = data.parent
    user = plane.server.user
    for path in (home, *home.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    for path in (data, *data.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    for parent in home.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    back = PostgresServer(plane.server.bin, home, user)
    back.start()
    try:
        with back.connect("ccx") as connection:
            return [row[0] for row in connection.execute("select n from kept order by n").fetchall()]
    finally:
        back.stop()
