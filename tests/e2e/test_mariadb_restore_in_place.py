"""A restore under the same names, of MariaDB with replicas."""

from __future__ import annotations

import pytest
from tests.e2e.mariadb_application import MariaDbApplication
from tests.engine_conformance import Login
from tests.restore_conformance import RestoreInPlaceConformance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class TestMariaDb(RestoreInPlaceConformance):
    application = MariaDbApplication()
    content = "/data.xbstream.zst"

    async def just_before(self, login: Login, change: str) -> dict[str, object]:
        """By the GTID of the change."""
        await self.application.ask(login, change)
        [(gtid,)] = await self.application.ask(login, "select @@gtid_binlog_pos")
        return {"pitr_stop_lsn": gtid}
