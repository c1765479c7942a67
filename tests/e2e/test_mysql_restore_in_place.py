"""A restore under the same names, of Percona Server's engine, on MySQL in its place."""

from __future__ import annotations

import asyncio

import pytest
from tests.e2e.machine import Installed
from tests.e2e.mysql_application import MySqlApplication
from tests.engine_conformance import Login
from tests.restore_conformance import RestoreInPlaceConformance

from ccx.clouds.local.image import ensure_image
from ccx.errors import CcxError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class TestMySql(RestoreInPlaceConformance):
    application = MySqlApplication()
    content = "/data.tar.zst"

    @pytest.fixture(scope="class")
    @classmethod
    async def installation(cls, new_installation: Installed) -> Installed:
        try:
            await asyncio.to_thread(ensure_image, cls.application.image)
        except CcxError as error:
            pytest.skip(f"NOT RUN: no MySQL to stand in for Percona Server: {error.err}")
        changes = ("auto_repair.delay=5", "guard=enforce", *cls.application.settings)
        await new_installation.up(*(word for change in changes for word in ("--set", change)))
        return new_installation

    async def just_before(self, login: Login, change: str) -> dict[str, object]:
        """By the GTID of the change: the last one of the server that now leads."""
        await self.application.ask(login, change)
        [(position, server)] = await self.application.ask(login, "select @@global.gtid_executed, @@global.server_uuid")
        own = next(one.strip() for one in position.split(",") if one.strip().startswith(server))
        return {"pitr_stop_lsn": f"{server}:{own.replace('-', ':').rpartition(':')[2]}"}
