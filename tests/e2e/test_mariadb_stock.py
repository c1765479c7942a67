"""A MariaDB datastore whose nodes start with nothing inside: everything through the mirror, under the vendor's path."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.mariadb_writer import Watch, Writer, parameters, select
from tests.e2e.tenant import LocalSide, signed_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

INSTALLED_WITHIN = 420.0
VERSIONS = "databases=[{code: mariadb, versions: ['10.11', '11.8']}]"


@pytest.fixture(scope="module")
async def stock(new_installation: Installed) -> Installed:
    """A control plane whose nodes start from the stock image, and whose mirror has MariaDB's packages."""
    await run(sys.executable, "-m", "ccx.clouds.local.image", "stock")
    await new_installation.up()
    await new_installation.down()
    # Filling the mirror takes minutes the first time.
    options = ("--instance", new_installation.instance, "--listen", new_installation.listen, "--detach")
    await new_installation.ccx("up", *options, "--image", "stock", "--set", VERSIONS)
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


@pytest.mark.parametrize("topology", ["replication", "galera"])
async def test_an_older_version_is_what_was_ordered_and_fails_over(stock: Installed, topology: str) -> None:
    """Of Debian's release before, under the vendor's path; the nodes' own system has a newer one."""
    async with signed_up(stock) as user:
        store = await user.order(f"old-{topology}", 3, "mariadb", topology, "10.11")
        await store.allow(str(stock.layout.host))
        await store.until_started(INSTALLED_WITHIN)
        nodes = parameters(await store.connection())
        for node in nodes:
            version = await asyncio.to_thread(select, node, "select left(@@version, 6)")
            assert version == [("10.11.",)], node["host"]
        writer, watch = Writer(nodes), Watch(nodes)
        await asyncio.to_thread(writer.make_table)
        with watch.running(), writer.running():
            await eventually(lambda: len(writer.acknowledged) > 100, 60, what="rows are written")
            lost = (await store.primary())["hostname"]
            await LocalSide(stock).cloud.kill(lost)
            before = len(writer.acknowledged)
            await eventually(lambda: len(writer.acknowledged) > before + 100, 90, what="another takes the writes")
        print(f"{topology}: gap {writer.gap():.1f} s, acknowledged {len(writer.acknowledged)}")
        staying = [node for node in nodes if node["host"] != lost]
        assert await asyncio.to_thread(writer.lost, staying[0]) == []
        assert watch.overlapping_primaries() == []
        await store.delete()


async def test_the_mirror_serves_what_its_plan_says(stock: Installed) -> None:
    told = await stock.ccx("mirror", "verify", "--instance", stock.instance)

    assert "mariadb-server" in told.stdout
    assert "missing" not in told.stdout
