"""Run by ``network.py``: asks a server on loopback, with a new connection for each request, and says how long it took.

``guarded.py bare|guard|declared PORT``; every line on standard input is a number of requests, and is answered with the
milliseconds, of the wall clock and of the processor, that each took. ``bare`` is httpx as it comes; ``guard`` the same
with the guard on; ``declared`` a declaration's own client with the guard on.
"""

from __future__ import annotations

import asyncio
import sys
import time

import httpx

from ccx.network import Direction, Plane, Protocol, declare
from ccx.network.guard import Mode, guard
from ccx.network.page import everything
from ccx.network.plan import plan

NO_KEEPING = httpx.Limits(max_keepalive_connections=0)
HOST = "127.0.0.1"


async def main(kind: str, port: int) -> None:
    settings = everything()
    made = plan(settings)  # which the control plane has in memory, guard or not
    loopback = declare(
        id="benchmark.loopback", section=None, reason="A benchmark's own", host=HOST, ports=port, service="benchmark",
        protocol=Protocol.HTTP, direction=Direction.OUTBOUND, plane=Plane.CONTROL, purpose="asks its own server",
        when_blocked="nothing is measured",
    )  # fmt: skip
    if kind != "bare":
        guard.on(Mode.ENFORCE, settings)
    if kind == "declared":
        http = loopback.client(settings, limits=NO_KEEPING)
    else:
        http = httpx.AsyncClient(limits=NO_KEEPING, trust_env=False)
    assert made.rows
    async with http:
        for line in sys.stdin:
            begun, used = time.perf_counter(), time.process_time()
            for _ in range(int(line)):
                answer = await http.get(f"http://{HOST}:{port}/")
                assert answer.status_code == 200
            each = 1000 / int(line)
            print((time.perf_counter() - begun) * each, (time.process_time() - used) * each, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
