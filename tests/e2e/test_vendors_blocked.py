"""Nodes that install from the vendors' own hosts, each at an address of its own: one is blocked at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.promises import promised
from tests.e2e.tenant import LocalSide, Tenant, select

from ccx.clouds.local import package_server
from ccx.clouds.local.packages import PACKAGES
from ccx.dns.dnsmasq import DnsmasqWriter

pytestmark = pytest.mark.slow

FAILS_WITHIN = 120.0
INSTALLED_WITHIN = 420.0
VENDORS = {"apt.postgresql.org": 200, "deb.debian.org": 201, "www.postgresql.org": 202}
"""Their places in the instance's network. The last has nothing but a signing key, over TLS: nobody answers there."""
UNDONE = ("job fails", "is undone", "nodes that run go on")


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """Its nodes are of the stock image, and there is no mirror: this machine is the vendors."""
    await new_installation.up("--image", "stock", "--no-resolve")
    await new_installation.down()
    await new_installation.up("--no-resolve", "--set", 'mirror.packages=""')
    async with AsyncExitStack() as stack:
        for name in VENDORS:
            await stack.enter_async_context(at_its_own_address(new_installation, address(new_installation, name)))
        for name in ("apt.postgresql.org", "deb.debian.org"):
            await stack.enter_async_context(serving(address(new_installation, name)))
        names = {name: [address(new_installation, name)] for name in VENDORS}
        await DnsmasqWriter(new_installation.layout.cloud_socket).publish("vendors", names)
        yield new_installation


def address(installed: Installed, name: str) -> str:
    return str(installed.layout.subnet[VENDORS[name]])


@asynccontextmanager
async def at_its_own_address(installed: Installed, own: str) -> AsyncIterator[None]:
    """This machine has the address as well, for the instance's nodes."""
    await run("ip", "address", "add", f"{own}/32", "dev", "lo")
    try:
        router = f"{installed.layout.namespace}-cloud"
        await run("ip", "-n", router, "route", "replace", f"{own}/32", "via", str(installed.layout.host))
        yield
    finally:
        await run("ip", "address", "delete", f"{own}/32", "dev", "lo")


@asynccontextmanager
async def serving(own: str) -> AsyncIterator[None]:
    server = await asyncio.create_subprocess_exec(
        "/usr/bin/python3", "-I", package_server.__file__, str(PACKAGES / "public"), own, "80"
    )
    try:
        yield
    finally:
        server.terminate()
        await server.wait()


async def fails(tenant: Tenant, local: LocalSide, name: str) -> dict[str, Any]:
    """Creates a datastore while the host is blocked. Returns the job, which has failed and left nothing."""
    async with local.dropping(f"ip daddr {address(tenant.installed, name)}"):
        store = await tenant.order("blocked", 1)

        async def failed() -> bool:
            return (await store.status())[0] == "DEPLOY_FAILED"

        await eventually(failed, FAILS_WITHIN, every=0.5, what="the creation fails")
    assert await local.of(await store.short_id()) == []
    assert await store.kept_secrets() == []
    return await store.job("JOB_TYPE_DEPLOY_DATASTORE")


async def test_without_the_databases_vendor(tenant: Tenant, local: LocalSide) -> None:
    promised("packages.postgresql", "names this repository", *UNDONE)
    job = await fails(tenant, local, "apt.postgresql.org")
    assert "can't reach apt.postgresql.org:80 (packages.postgresql):" in job["error"]


async def test_without_the_systems_vendor(tenant: Tenant, local: LocalSide) -> None:
    """Both rows are of one host and port: nobody can block one of them."""
    promised("packages.debian", "names this repository", *UNDONE)
    promised("packages.debian-security", "names this repository", *UNDONE)
    job = await fails(tenant, local, "deb.debian.org")
    assert "can't reach deb.debian.org:80 (packages.debian, packages.debian-security):" in job["error"]


async def test_with_nothing_blocked_they_install_from_the_vendors(tenant: Tenant, tmp_path: Path) -> None:
    store = await tenant.order("open", 1)
    await store.allow(str(tenant.installed.layout.host))
    await store.until_started(INSTALLED_WITHIN)
    assert await select(await store.read_write(tmp_path), "select 1") == 1
    await store.delete()


async def test_without_the_signing_keys_host(installation: Installed, tenant: Tenant, local: LocalSide) -> None:
    """Last: it starts the installation again, with the vendors' own keys to be trusted."""
    promised("packages.key-postgresql", "names the key's URL", *UNDONE)
    await installation.down()
    await installation.up("--no-resolve", "--set", 'mirror.key=""')
    job = await fails(tenant, local, "www.postgresql.org")
    assert "can't reach www.postgresql.org:443 (packages.key-postgresql):" in job["error"]
