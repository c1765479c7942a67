"""Nodes that install from the vendors' own hosts, each at an address of its own: one is blocked at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import mariadb_writer
from tests.e2e.machine import CCX, Installed, eventually, run
from tests.e2e.promises import promised
from tests.e2e.tenant import LocalSide, Store, Tenant, select

from ccx.clouds.local import package_server
from ccx.clouds.local.packages import PACKAGES
from ccx.dns.dnsmasq import DnsmasqWriter

pytestmark = pytest.mark.slow

FAILS_WITHIN = 120.0
INSTALLED_WITHIN = 420.0


@dataclass(frozen=True)
class Vendor:
    """Where a database's nodes get its packages and the key that signs them, and the contract's rows of both."""

    code: str
    host: str
    row: str
    key_host: str
    key_row: str


VENDORS = (
    Vendor("postgres", "apt.postgresql.org", "packages.postgresql", "www.postgresql.org", "packages.key-postgresql"),
    Vendor("mariadb", "dlm.mariadb.com", "packages.mariadb", "supplychain.mariadb.com", "packages.key-mariadb"),
)
of_each = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.code)
SYSTEM = "deb.debian.org"
SERVE = (SYSTEM, *(vendor.host for vendor in VENDORS))
SILENT = tuple(vendor.key_host for vendor in VENDORS)
"""They have nothing but a signing key, over TLS: nobody answers there."""
PLACES = {name: 200 + index for index, name in enumerate((*SERVE, *SILENT))}
"""In the instance's network."""
UNDONE = ("job fails", "is undone", "nodes that run go on")


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """Its nodes are of the stock image, and there is no mirror: this machine is the vendors."""
    # Filling the mirror takes minutes the first time.
    instance = ("--instance", new_installation.instance, "--listen", new_installation.listen, "--detach")
    offer = ("--no-resolve", "--image", "stock", "--set", "databases=[postgres, mariadb]")
    await run(CCX, "up", *instance, *offer)
    await new_installation.down()
    await new_installation.up("--no-resolve", "--set", 'mirror.packages=""')
    async with AsyncExitStack() as stack:
        for name in PLACES:
            await stack.enter_async_context(at_its_own_address(new_installation, address(new_installation, name)))
        for name in SERVE:
            await stack.enter_async_context(serving(address(new_installation, name)))
        names = {name: [address(new_installation, name)] for name in PLACES}
        await DnsmasqWriter(new_installation.layout.cloud_socket).publish("vendors", names)
        yield new_installation


def address(installed: Installed, name: str) -> str:
    return str(installed.layout.subnet[PLACES[name]])


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


async def fails(tenant: Tenant, local: LocalSide, name: str, vendor: str) -> dict[str, Any]:
    """Creates a datastore while the host is blocked. Returns the job, which has failed and left nothing."""
    async with local.dropping(f"ip daddr {address(tenant.installed, name)}"):
        store = await tenant.order("blocked", 1, vendor)

        async def failed() -> bool:
            return (await store.status())[0] == "DEPLOY_FAILED"

        await eventually(failed, FAILS_WITHIN, every=0.5, what="the creation fails")
    assert await local.of(await store.short_id()) == []
    assert await store.kept_secrets() == []
    return await store.job("JOB_TYPE_DEPLOY_DATASTORE")


@of_each
async def test_without_the_databases_vendor(tenant: Tenant, local: LocalSide, vendor: Vendor) -> None:
    promised("packages.postgresql", "names this repository", *UNDONE)
    promised("packages.mariadb", "names this repository", *UNDONE)
    job = await fails(tenant, local, vendor.host, vendor.code)
    assert f"can't reach {vendor.host}:80 ({vendor.row}):" in job["error"]


async def test_without_the_systems_vendor(tenant: Tenant, local: LocalSide) -> None:
    """Both rows are of one host and port: nobody can block one of them."""
    promised("packages.debian", "names this repository", *UNDONE)
    promised("packages.debian-security", "names this repository", *UNDONE)
    job = await fails(tenant, local, SYSTEM, "postgres")
    assert "can't reach deb.debian.org:80 (packages.debian, packages.debian-security):" in job["error"]


@of_each
async def test_with_nothing_blocked_they_install_from_the_vendors(
    tenant: Tenant, tmp_path: Path, vendor: Vendor
) -> None:
    store = await tenant.order(f"open-{vendor.code}", 1, vendor.code)
    await store.allow(str(tenant.installed.layout.host))
    await store.until_started(INSTALLED_WITHIN)
    assert await _serves(store, vendor.code, tmp_path)
    await store.delete()


async def _serves(store: Store, vendor: str, tmp_path: Path) -> bool:
    if vendor == "postgres":
        return bool(await select(await store.read_write(tmp_path), "select 1") == 1)
    (node,) = mariadb_writer.parameters(await store.connection())
    return await asyncio.to_thread(mariadb_writer.select, node, "select 1") == [(1,)]


async def test_without_the_signing_keys_host(installation: Installed, tenant: Tenant, local: LocalSide) -> None:
    """Last: it starts the installation again, with the vendors' own keys to be trusted."""
    promised("packages.key-postgresql", "names the key's URL", *UNDONE)
    promised("packages.key-mariadb", "names the key's URL", *UNDONE)
    await installation.down()
    await installation.up("--no-resolve", "--set", 'mirror.key=""')
    for vendor in VENDORS:
        job = await fails(tenant, local, vendor.key_host, vendor.code)
        assert f"can't reach {vendor.key_host}:443 ({vendor.key_row}):" in job["error"]
