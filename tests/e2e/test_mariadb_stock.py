"""A MariaDB datastore whose nodes start with nothing inside: everything through the mirror, under the vendor's path."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from tests.e2e.machine import Installed, run
from tests.e2e.mariadb_writer import parameters, select
from tests.e2e.tenant import signed_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

INSTALLED_WITHIN = 420.0


@pytest.fixture(scope="module")
async def stock(new_installation: Installed) -> Installed:
    """A control plane whose nodes start from the stock image, and whose mirror has MariaDB's packages."""
    await run(sys.executable, "-m", "ccx.clouds.local.image", "stock")
    await new_installation.up()
    await new_installation.down()
    # Filling the mirror takes minutes the first time.
    options = ("--instance", new_installation.instance, "--listen", new_installation.listen, "--detach")
    await new_installation.ccx("up", *options, "--image", "stock", "--set", "databases=[mariadb]")
    return new_installation


async def test_nodes_install_themselves_from_the_vendors_path_and_form_a_cluster(stock: Installed) -> None:
    async with signed_up(stock) as user:
        store = await user.order("shop", 3, "mariadb")
        await store.allow(str(stock.layout.host))
        await store.until_started(INSTALLED_WITHIN)

        host = (await store.primary())["hostname"]
        primary = next(node for node in parameters(await store.connection()) if node["host"] == host)
        assert await asyncio.to_thread(select, primary, "select @@version like '11.8.%', @@read_only") == [(1, 0)]
        copies = await asyncio.to_thread(select, primary, "show global status like 'Rpl_semi_sync_master_clients'")
        assert copies == [("Rpl_semi_sync_master_clients", "2")]
        steps = [step["name"] for step in (await store.job("JOB_TYPE_DEPLOY_DATASTORE"))["steps"]]
        assert {"packages n1g1", "packages n2g1", "packages n3g1"} <= set(steps)
        for machine in stock.layout.place.machines.glob("ccx-*"):
            sources = (machine / "upper/etc/apt/sources.list.d/ccx.sources").read_text()
            uris = set(re.findall(r"^URIs: (\S+)", sources, re.MULTILINE))
            mirror = stock.layout.mirror_url
            assert f"{mirror}/repo/mariadb-server/11.8/repo/debian" in uris
            assert f"{mirror}/pub/repos/apt" not in uris
            lists: Path = machine / "upper/var/lib/apt/lists"
            assert [*lists.glob("*repo_mariadb-server_11.8*Packages*")], "its lists are those of the vendor's path"
        await store.delete()


async def test_the_mirror_serves_what_its_plan_says(stock: Installed) -> None:
    told = await stock.ccx("mirror", "verify", "--instance", stock.instance)

    assert "mariadb-server" in told.stdout
    assert "missing" not in told.stdout
