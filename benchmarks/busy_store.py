"""Puts objects of 8 MiB into an instance's store at a steady speed, until it is told to end; then removes them.

Run by ``backup_writes.py`` in the control plane's network namespace: ``busy_store.py INSTANCE BYTES_A_SECOND``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from ccx.embedded.layout import remembered
from ccx.embedded.object_store import BUCKET, credentials_file
from ccx.storage import Credentials, Location
from ccx.storage.s3 import S3

_SIZE = 8 * 2**20
_PREFIX = "busy/"


async def put(store: S3, speed: float) -> None:
    began, number, data = time.monotonic(), 0, os.urandom(_SIZE)
    while True:
        await store.put(f"{_PREFIX}{number}", data)
        number += 1
        print(number, flush=True)
        await asyncio.sleep(max(0.0, began + number * _SIZE / speed - time.monotonic()))


async def main(instance: str, speed: float) -> None:
    layout = remembered(instance)
    assert layout is not None, f"instance {instance} is not installed"
    location = Location(layout.s3_url, BUCKET, "us-east-1", ca=layout.etc / "ca.crt")
    store = S3(location, Credentials(*credentials_file(layout).read_text().split()))
    putting = asyncio.create_task(put(store, speed))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, putting.cancel)
    try:
        await asyncio.wait({putting})
        if not putting.cancelled():
            putting.result()
        for entry in await store.list(_PREFIX):
            await store.delete(entry.key)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
