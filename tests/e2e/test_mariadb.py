"""MariaDB is an engine like any other; and what is its own: its client, its promises, and what it has not yet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.e2e.machine import CCX, run
from tests.e2e.mariadb_application import MariaDbApplication
from tests.e2e.tenant import Store, Tenant
from tests.engine_conformance import EngineConformance

from ccx.clouds.local.image import find_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class TestMariaDb(EngineConformance):
    application = MariaDbApplication()

    @pytest.fixture(scope="class")
    @classmethod
    async def single(cls, user: Tenant) -> Store:
        """A datastore of one node."""
        return await user.create("single", 1, vendor="mariadb")

    @pytest.fixture
    def environment(self, single: Store, tmp_path: Path) -> dict[str, str]:
        """One in which ``mariadb`` is the image's own client, whatever this machine has."""
        image = find_image("baked-mariadb")
        assert image is not None
        (loader,) = (image / "usr/lib").glob("*/ld-linux-*.so.*")
        wrapper = tmp_path / "mariadb"
        program = f'{loader} --library-path {loader.parent} {image / "usr/bin/mariadb"} "$@"'
        wrapper.write_text(f"#!/bin/sh\nexec {program}\n")
        wrapper.chmod(0o755)
        return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(tmp_path / "config")}

    async def test_it_is_on_offer_with_what_each_count_of_nodes_gives(self, user: Tenant) -> None:
        offered = (await user.call("GET", "content/api/v1/deploy-wizard"))["database"]["vendors"]
        mariadb = next(vendor for vendor in offered if vendor["code"] == "mariadb")
        assert mariadb["versions"] == ["11.8"]
        assert "replication" in [kind["code"] for kind in mariadb["types"]]
        assert {count: "highly available" in gives for count, gives in mariadb["promises"].items()} == {
            "1": False, "2": False, "3": True,
        }  # fmt: skip

    async def test_the_command_line_connects_and_what_url_prints_works_as_pasted(
        self, single: Store, environment: dict[str, str], tmp_path: Path
    ) -> None:
        installed, password, pasted = single.tenant.installed, tmp_path / "password", tmp_path / "client.cnf"
        password.write_text(single.tenant.password)
        trust = ("--ca-file", installed.ca, "--login", single.tenant.login, "--password-file", password)
        await run(CCX, "login", "--url", installed.url, *trust, env=environment)
        query = ("--batch", "--skip-column-names", "--execute", "select @@read_only, database()")

        connected = await run(CCX, "datastore", "connect", "single", "--", *query, env=environment)
        printed = await run(CCX, "datastore", "url", "single", "--format", "keyword", env=environment)
        pasted.write_text(printed.stdout)
        as_pasted = await run("mariadb", f"--defaults-file={pasted}", *query, env=environment)

        assert connected.stdout.split() == as_pasted.stdout.split() == ["0", "defaultdb"]
        lines = [f"ssl-ca={installed.ca}" if li.startswith("ssl-ca") else li for li in printed.stdout.splitlines()]
        pasted.write_text("\n".join(lines))
        refused = await run("mariadb", f"--defaults-file={pasted}", *query, env=environment, check=False)
        assert refused.returncode != 0
        assert "certificate" in refused.stderr
        url = await run(CCX, "datastore", "url", "single", env=environment)
        assert url.stdout.startswith("mysql://ccxadmin:")
