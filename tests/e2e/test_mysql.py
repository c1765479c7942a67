"""Percona Server's engine, on MySQL in its place: what Debian has, where Percona's own packages are out of reach."""

from __future__ import annotations

import asyncio

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.mysql_application import MySqlApplication
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant
from tests.engine_conformance import EngineConformance

from ccx.clouds.local.image import ensure_image
from ccx.errors import CcxError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class TestMySql(EngineConformance):
    application = MySqlApplication()

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

    @pytest.fixture(scope="class")
    @classmethod
    async def other(cls, user: Tenant) -> Store:
        """A datastore of three nodes, for what is of this engine alone: the suite has deleted its own."""
        return await user.create("other", 3, vendor=cls.application.vendor)

    async def test_it_is_on_offer_as_what_it_is_and_mysql_means_it(self, user: Tenant) -> None:
        offered = (await user.call("GET", "content/api/v1/deploy-wizard"))["database"]["vendors"]
        found = next(vendor for vendor in offered if vendor["code"] == "percona")
        assert (found["name"], found["versions"]) == ("MySQL", ["8.4", "9.7"])
        assert {count: "highly available" in gives for count, gives in found["promises"].items()} == {
            "1": False, "2": False, "3": True,
        }  # fmt: skip

    async def test_what_only_a_replica_has_is_kept_apart_and_its_data_are_cloned_anew(
        self, other: Store, side: LocalSide
    ) -> None:
        """Those transactions and no others: what it has from its primary is in the same log."""
        primary = await self._primary(other)
        await self.application.ask(primary, "create table everybodys (n int)")
        replica = next(node for node in await other.nodes() if node["role"] == "replica")
        inside = ("nsenter", "-t", str(await side.init_of(replica["private_ip"])), "-a")
        as_root = (*inside, "mysql", "--socket=/run/ccx-percona/mysqld.sock", "--batch", "--execute")
        await run(*as_root, "set global read_only = off; create database astray; set global super_read_only = on")

        async def shown() -> list[str]:
            return [
                name for node in await other.nodes() if node["label"] == replica["label"] for name in node["errant"]
            ]

        (kept,) = await eventually(shown, REPAIRED_WITHIN, every=0.5, what="the node shows what is kept apart")

        async def anew() -> bool:
            there = await run(*as_root, "show databases", check=False)
            return there.returncode == 0 and "astray" not in there.stdout

        await eventually(anew, REPAIRED_WITHIN, every=0.5, what="the node serves the primary's data")
        await other.until_started(REPAIRED_WITHIN)
        apart = (await run(*inside, "cat", f"/var/lib/ccx-data/mysql/errant/{kept}")).stdout
        assert "create database astray" in apart
        assert "everybodys" not in apart
        assert replica["host_uuid"] in [node["host_uuid"] for node in await other.nodes()], "its machine was well"

    async def test_a_version_that_no_image_holds_is_refused_with_what_to_do(self, user: Tenant) -> None:
        order = {
            "general": {"cluster_name": "nowhere", "cluster_size": 1, "db_vendor": "mysql", "db_version": "8.4"},
            "cloud": {"cloud_provider": "local", "cloud_region": "local"},
            "instance": {"instance_size": "tiny", "volume_size": 10},
        }
        answer = await user.answer("POST", "prov/api/v2/cluster", order)
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == "general.db_version"
        assert "stock" in answer.json()["remedy"]
