"""The control plane is lost with all it had, but the object store's folder; ``ccx recover`` brings it back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from tests.e2e.machine import CCX, Installed, eventually, run
from tests.e2e.tenant import LocalSide, Store, Tenant, refused, select, signed_up

from ccx.embedded import processes
from ccx.recovery.status import CopyStatus

pytestmark = pytest.mark.slow

PASSPHRASE = "correct horse battery staple"
BACK_WITHIN_S = 120.0
PAUSE_S = 3.0


@pytest.fixture(scope="module")
def copy(folder: Path) -> list[str | Path]:
    """The recovery copy, as options of commands."""
    (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    return ["--recovery-file", folder / "copy", "--passphrase-file", folder / "passphrase"]


async def recover(lost: Installed, *options: str | Path, check: bool = True) -> str:
    done = await run(CCX, "recover", "--instance", lost.instance, "--detach", *options, check=check)
    return done.stdout if check else done.stderr


async def lose(installed: Installed) -> None:
    """As when a machine's disk is gone, but for the cloud (which stands for itself) and the object store's folder."""
    layout = installed.layout
    os.kill(installed.record().pid, signal.SIGKILL)
    await eventually(lambda: not processes.inside_network(layout.namespace_file), within=30, what="no part is left")
    for path in (layout.etc, *layout.var.iterdir()):
        if path.name not in ("cloud", "s3"):
            await asyncio.to_thread(shutil.rmtree, path)


async def copied(installed: Installed) -> None:
    """Returns when the copy has all that is there now."""
    since = time.time()

    def complete() -> bool:
        status = CopyStatus.load(installed.layout.var)
        return status is not None and (status.complete or 0) > since

    try:
        await eventually(complete, within=60, what="the copy is complete")
    except AssertionError as late:
        raise AssertionError(f"{late}; {CopyStatus.load(installed.layout.var)}") from None


async def identity(store: Store, folder: Path) -> tuple[object, ...]:
    """What would differ if anything had been done to the datastore."""
    nodes = await store.nodes()
    primary = await store.read_write(folder)
    started = await select(primary, "select pg_postmaster_start_time()")
    return (
        started,
        primary["password"],
        [(n["host_uuid"], n["hostname"], n["private_ip"], n["created_at"]) for n in nodes],
    )


@pytest.fixture(scope="module")
async def tenant(new_installation: Installed, copy: list[str | Path]) -> AsyncIterator[Tenant]:
    await new_installation.up(*map(str, copy))
    async with signed_up(new_installation) as user:
        yield user


@pytest.fixture(scope="module")
async def local(new_installation: Installed) -> AsyncIterator[LocalSide]:
    side = LocalSide(new_installation)
    yield side
    await side.cloud.close()


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    return await tenant.create("orders", 1)


async def test_a_lost_control_plane_comes_back_and_its_datastore_served_all_the_time(
    new_installation: Installed, tenant: Tenant, store: Store, local: LocalSide, copy: list[str | Path], folder: Path
) -> None:
    before = await identity(store, folder)
    await copied(new_installation)
    writer = await store.writer(folder)
    await asyncio.to_thread(writer.start)
    try:
        await lose(new_installation)
        await asyncio.to_thread(writer.wait_for, 50, 10)

        # It is broken off as soon as there is something of it, and done again.
        broken_off = await asyncio.create_subprocess_exec(
            CCX, "recover", "--instance", new_installation.instance, *copy, stdout=asyncio.subprocess.DEVNULL
        )
        marker = Path("/etc/ccx") / new_installation.instance / "recovering"
        await eventually(marker.exists, within=60, every=0.01, what="the recovery has begun")
        broken_off.kill()
        await broken_off.wait()
        up = await run(CCX, "up", "--instance", new_installation.instance, check=False)
        assert "was broken off" in up.stderr
        began = time.monotonic()
        await recover(new_installation, *copy)
        took = time.monotonic() - began
        print(f"recovered in {took:.1f} s, gap in writes {writer.gap():.2f} s")
        await asyncio.to_thread(writer.wait_for, 50, 10)
    finally:
        await asyncio.to_thread(writer.stop)

    assert took < BACK_WITHIN_S
    assert writer.gap() < PAUSE_S
    # The user's session, the datastore, its servers and its running database are what they were.
    assert await identity(store, folder) == before
    with await asyncio.to_thread(psycopg.connect, **await store.read_write(folder)) as connection:
        assert writer.lost(connection) == []
    await eventually(lambda: is_started(store), within=60, what="it is seen as STARTED")
    await local.check_inventory()


async def is_started(store: Store) -> bool:
    return (await store.status())[0] == "STARTED"


async def test_what_is_in_the_way_of_a_recovery_is_said_in_one_line(
    new_installation: Installed, tenant: Tenant, copy: list[str | Path], folder: Path
) -> None:
    (folder / "wrong").write_text("incorrect horse battery staple\n")
    wrong = await recover(new_installation, *copy[:3], folder / "wrong", check=False)
    running = await recover(new_installation, *copy, check=False)
    elsewhere = await run(CCX, "recover", "--instance", "nobodys", *copy, check=False)

    assert "does not open this recovery copy" in wrong
    assert "is running here" in running
    assert "there is no /var/lib/ccx/nobodys/s3" in elsewhere.stderr
    for said in (wrong, running, elsewhere.stderr):
        assert len(said.strip().splitlines()) == 1, said
    assert not Path("/etc/ccx/nobodys").exists()


async def test_what_came_back_is_managed_as_before_and_is_copied_again(
    new_installation: Installed, tenant: Tenant, store: Store, local: LocalSide, folder: Path
) -> None:
    await copied(new_installation)
    status = CopyStatus.load(new_installation.layout.var)
    assert status is not None
    assert status.generation > 1
    # A query that is under way when the rule goes must not wait for ever.
    node = (await store.parameters(folder, tcp_user_timeout="3000"))[0]
    await store.disallow(str(new_installation.layout.host))
    await eventually(lambda: refused(node), within=30, what="the firewall is changed")
    await store.delete()

    assert await local.of(await store.short_id()) == []
