"""The control plane is lost with all its state; how long until another one is there and manages its datastores again?

``python benchmarks/recover.py [--datastores 20] [--json FILE]``, as root. The datastores are real, one node each, on
the local cloud, which stands for itself and goes on; the object store's folder survives, as a disk of its own would.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import report
from installation import tenant
from tests.e2e.machine import Installed
from tests.e2e.tenant import Store, Tenant
from tests.e2e.test_recover import copied, is_started, lose, recover

TARGET_S = 120.0
_AT_ONCE = 4
_CREATED_WITHIN_S = 900.0
_MANAGED_WITHIN_S = 300.0


async def create(user: Tenant, count: int) -> list[Store]:
    """Some at a time: it is not this that is measured."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> Store:
        async with turn:
            store = await user.order(f"store-{number}", 1)
            await store.until_started(_CREATED_WITHIN_S)
            return store

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def managed(stores: list[Store]) -> None:
    """Each is seen as STARTED, by a look after the recovery."""
    async with asyncio.timeout(_MANAGED_WITHIN_S):
        for store in stores:
            while not await is_started(store):  # noqa: ASYNC110 - an API that is asked
                await asyncio.sleep(0.2)


async def changed(store: Store) -> None:
    """An operation of the new control plane on its cloud: a firewall rule that takes effect."""
    await store.allow("192.0.2.77/32")

    async def done() -> bool:
        return all(job["finished_at"] for job in await store.jobs())

    async with asyncio.timeout(_MANAGED_WITHIN_S):
        while not await done():  # noqa: ASYNC110 - an API that is asked
            await asyncio.sleep(0.2)


async def measure(count: int, folder: Path) -> dict[str, float]:
    """Seconds from the beginning of the recovery until each was so."""
    (folder / "passphrase").write_text("correct horse battery staple\n")
    keys = ("--recovery-file", str(folder / "copy"), "--passphrase-file", str(folder / "passphrase"))
    async with tenant("recover", *keys) as user:
        running: Installed = user.installed
        stores = await create(user, count)
        await copied(running)
        await lose(running)
        began = time.monotonic()
        await recover(running, *keys)
        served = time.monotonic() - began
        await managed(stores)
        seen = time.monotonic() - began
        await changed(stores[0])
        return {"healthy": served, "all seen": seen, "managing": time.monotonic() - began}


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--datastores", type=int, default=20, help="how many (default: %(default)s)")
    given = parser.parse_args()
    about = report.machine()
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(measure(given.datastores, Path(folder)))
    rows = [[name, seconds] for name, seconds in measured.items()]
    print(report.table([f"{given.datastores} datastores, since ccx recover began", "seconds"], rows))
    print(f"to reach: managing again in under {TARGET_S:.0f} s")
    report.write(given.json, about, datastores=given.datastores, seconds=measured)


if __name__ == "__main__":
    main()
