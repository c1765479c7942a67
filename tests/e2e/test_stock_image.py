"""Datastores whose nodes start with nothing inside: everything through the mirror, signatures checked."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.tenant import Store, Tenant, select, signed_up

from ccx.clouds.local import package_server
from ccx.clouds.local.packages import PACKAGES
from ccx.network.mirror.keys import signing_key

INSTALLED_WITHIN = 420.0
REFUSED_WITHIN = 150.0


@pytest.fixture(scope="module")
async def stock(new_installation: Installed) -> Installed:
    """A control plane whose nodes start from the stock image."""
    await run(sys.executable, "-m", "ccx.clouds.local.image", "stock")
    await new_installation.up("--image", "stock")
    return new_installation


async def _created(user: Tenant, name: str, nodes: int) -> Store:
    store = await user.order(name, nodes)
    await store.allow(str(user.installed.layout.host))
    await store.until_started(INSTALLED_WITHIN)
    return store


async def test_a_datastore_from_the_stock_image_installs_itself_through_the_mirror_and_serves(
    stock: Installed, tmp_path: Path
) -> None:
    async with signed_up(stock) as user:
        store = await _created(user, "stock", 1)

        assert await select(await store.read_write(tmp_path), "select pg_is_in_recovery()") is False
        steps = [step["name"] for step in (await store.job("JOB_TYPE_DEPLOY_DATASTORE"))["steps"]]
        assert "packages n1g1" in steps
        (machine,) = stock.layout.place.machines.glob("ccx-*")
        sources = (machine / "upper/etc/apt/sources.list.d/ccx.sources").read_text()
        mirror = stock.layout.mirror_url
        assert set(re.findall(r"^URIs: (\S+)", sources, re.MULTILINE)) == {
            f"{mirror}/pub/repos/apt", f"{mirror}/debian", f"{mirror}/debian-security",
        }  # fmt: skip
        assert set(re.findall(r"^Signed-By: (\S+)", sources, re.MULTILINE)) == {"/etc/ccx/apt/keys/mirror.asc"}
        origin = machine / "upper/var/lib/apt/lists"
        assert [file for file in origin.glob("*pub_repos_apt*Packages*")], "its lists are those of the vendor's path"


async def test_the_mirror_serves_what_its_plan_says(stock: Installed) -> None:
    told = await stock.ccx("mirror", "verify", "--instance", stock.instance)

    assert "postgresql-17" in told.stdout
    assert "missing" not in told.stdout


@pytest.mark.slow
async def test_three_nodes_from_the_stock_image_form_a_cluster(stock: Installed, tmp_path: Path) -> None:
    async with signed_up(stock) as user:
        store = await _created(user, "stock-3", 3)

        copies = "select count(*) from pg_stat_replication where state = 'streaming'"
        assert await select(await store.read_write(tmp_path), copies) == 2


@pytest.mark.slow
async def test_what_a_key_that_nodes_do_not_trust_has_signed_is_refused_and_the_job_names_the_repository(
    stock: Installed,
) -> None:
    stranger = signing_key(stock.layout.etc / "stranger")
    trusted = stock.layout.etc / "stranger.asc"
    trusted.write_text(stranger.public.read_text())
    trusted.chmod(0o644)
    await stock.down()
    await stock.up("--set", f"mirror.key={trusted}")
    async with signed_up(stock) as user:
        store = await user.order("refused", 1)

        async def failed() -> bool:
            return (await store.status())[0] == "DEPLOY_FAILED"

        await eventually(failed, REFUSED_WITHIN, every=0.5, what="the creation fails")
        why = (await store.status())[1]
        assert re.search(r"repository packages\.\S+ \(http://\S+\): it is not signed by the key that nodes trust", why)
    await stock.down()
    await stock.up("--set", f"mirror.key={stock.layout.mirror_key}")


@asynccontextmanager
async def _running(*argv: str | Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*map(str, argv))
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def _tinyproxy(folder: Path) -> Path:
    """The system's, or the distribution's package unpacked beside the test."""
    if found := shutil.which("tinyproxy"):
        return Path(found)
    await run("sh", "-c", f"cd {folder} && apt-get -q download tinyproxy-bin && dpkg-deb -x tinyproxy-bin_*.deb .")
    return folder / "usr/bin/tinyproxy"


@pytest.mark.slow
async def test_without_a_mirror_nodes_install_from_the_vendors_hosts_by_the_egress_proxy(
    stock: Installed, tmp_path: Path
) -> None:
    """Nothing else is open to them: the proxy alone knows where the vendors' hosts are. Here they are this machine."""
    host = str(stock.layout.host)
    hosts, log, configuration = (tmp_path / name for name in ("hosts", "proxy.log", "tinyproxy.conf"))
    hosts.write_text(f"{host} apt.postgresql.org deb.debian.org\n")
    configuration.write_text(f'Port 3128\nListen {host}\nTimeout 60\nLogFile "{log}"\nLogLevel Connect\n')
    proxy = f"mount --bind {hosts} /etc/hosts; exec {await _tinyproxy(tmp_path)} -d -c {configuration}"
    await stock.down()
    await stock.up("--set", f"egress_proxy=http://{host}:3128", "--set", 'mirror.packages=""')
    async with (
        _running("/usr/bin/python3", "-I", package_server.__file__, PACKAGES / "public", host, "80"),
        _running(
            "unshare", "--mount", "sh", "-euc", proxy, "sh", await _tinyproxy(tmp_path), "-d", "-c", configuration
        ),
        signed_up(stock) as user,
    ):
        store = await _created(user, "proxied", 1)

        assert await select(await store.read_write(tmp_path), "select 1") == 1
        asked = set(re.findall(r"Established connection to host \"([^\"]+)\"", log.read_text()))
        assert asked == {"apt.postgresql.org", "deb.debian.org"}
