"""What restores of MariaDB in place have in common, whatever the topology."""

from __future__ import annotations

from tests.e2e.mariadb_application import MariaDbApplication
from tests.engine_conformance import Login
from tests.restore_conformance import RestoreInPlaceConformance


class MariaDbInPlace(RestoreInPlaceConformance):
    application = MariaDbApplication()
    content = "/data.xbstream.zst"

    async def just_before(self, login: Login, change: str) -> dict[str, object]:
        """By the GTID of the change. A Galera member may have transactions of its own besides, of another domain."""
        await self.application.ask(login, change)
        [(position,)] = await self.application.ask(login, "select @@gtid_binlog_pos")
        return {"pitr_stop_lsn": next(one for one in position.split(",") if one.startswith("0-"))}
