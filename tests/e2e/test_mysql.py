"""Percona Server's engine, on MySQL in its place: what Debian has, where Percona's own packages are out of reach."""

from __future__ import annotations

import asyncio

import pytest
from tests.e2e.machine import Installed
from tests.e2e.mysql_application import MySqlApplication
from tests.e2e.tenant import Tenant
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

    async def test_it_is_on_offer_as_what_it_is_and_mysql_means_it(self, user: Tenant) -> None:
        offered = (await user.call("GET", "content/api/v1/deploy-wizard"))["database"]["vendors"]
        found = next(vendor for vendor in offered if vendor["code"] == "percona")
        assert (found["name"], found["versions"]) == ("MySQL", ["9.7", "8.4"])
        assert {count: "highly available" in gives for count, gives in found["promises"].items()} == {
            "1": False, "2": False, "3": True,
        }  # fmt: skip

    async def test_a_version_that_no_image_holds_is_refused_with_what_to_do(self, user: Tenant) -> None:
        order = {
            "general": {"cluster_name": "other", "cluster_size": 1, "db_vendor": "mysql", "db_version": "8.4"},
            "cloud": {"cloud_provider": "local", "cloud_region": "local"},
            "instance": {"instance_size": "tiny", "volume_size": 10},
        }
        answer = await user.answer("POST", "prov/api/v2/cluster", order)
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == "general.db_version"
        assert "stock" in answer.json()["remedy"]
