"""What a probe of 60 endpoints takes of which 20 hang: ten whose packets nobody answers, ten that say nothing.

``python benchmarks/probe.py [--trials 3] [--json FILE]``. All are on loopback: twenty speak HTTP, twenty HTTPS, and ten
have a backlog that is full, so that the kernel drops their packets as a firewall would. Ends with 1 above the budget.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report

from ccx import pki
from ccx_probe import LIMIT_S, PARALLEL, Answer, Request, probe

HERE = "127.0.0.1"
GOOD, HANGING = 40, 20
BUDGET_S = 10.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@contextmanager
def endpoints() -> Iterator[tuple[list[Request], str]]:
    """The sixty, and the CA of those that speak HTTPS."""
    ca = pki.new_ca("benchmark")
    with ExitStack() as stack:
        http, https, silent = stack.enter_context(servers(ca))
        dropping = [stack.enter_context(full()) for _ in range(HANGING // 2)]
        kinds = [("http", http)] * (GOOD // 2) + [("https", https)] * (GOOD // 2)
        kinds += [("https", silent)] * (HANGING // 2) + [("http", port) for port in dropping]
        yield [Request(str(at), HERE, port, speaks) for at, (speaks, port) in enumerate(kinds)], ca.certificate


@contextmanager
def servers(ca: pki.KeyPair) -> Iterator[tuple[int, int, int]]:
    """Ports of one that speaks HTTP, one that speaks HTTPS, and one that takes connections and says nothing."""
    loop, listening, ports = asyncio.new_event_loop(), threading.Event(), []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        writer.close()

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def serve() -> None:
        for handler, tls in ((answer, None), (answer, context(ca)), (nothing, None)):
            server = await asyncio.start_server(handler, HERE, 0, ssl=tls)
            ports.append(server.sockets[0].getsockname()[1])
        listening.set()

    loop.create_task(serve())
    threading.Thread(target=loop.run_forever, daemon=True).start()
    listening.wait()
    yield ports[0], ports[1], ports[2]
    loop.call_soon_threadsafe(loop.stop)


def context(ca: pki.KeyPair) -> ssl.SSLContext:
    pair = pki.issue(ca, HERE, [], [HERE])
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pair.key + pair.certificate)
        file.flush()
        made.load_cert_chain(file.name)
    return made


@contextmanager
def full() -> Iterator[int]:
    """The port of a listener that accepts nobody, with its backlog full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HERE, 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def trial(requests: list[Request], ca: str) -> dict[str, float]:
    """Seconds: until all that work have answered, until all is told, and of the processor."""
    came: list[float] = []
    began, used = time.perf_counter(), time.process_time()

    def report_one(answer: Answer) -> None:
        if answer.ok:
            came.append(time.perf_counter() - began)

    answers = probe(requests, report_one, ca=ca)
    took, cpu = time.perf_counter() - began, time.process_time() - used
    wrong = [a for at, a in enumerate(answers) if a.ok != (at < GOOD)]
    assert not wrong, f"these are not as they were made: {wrong}"
    return {"good": max(came), "all": took, "processor": cpu}


def main() -> int:
    given = report.arguments(__doc__, trials=3).parse_args()
    about = report.machine()
    with endpoints() as (requests, ca):
        trials = [trial(requests, ca) for _ in range(given.trials)]
    names = {"good": f"the {GOOD} that work", "all": f"all {GOOD + HANGING}", "processor": "of the processor"}
    figures = {key: [t[key] for t in trials] for key in names}
    rows = [
        (
            name,
            statistics.median(figures[key]),
            min(figures[key]),
            max(figures[key]),
            BUDGET_S if key == "all" else None,
        )
        for key, name in names.items()
    ]
    print(report.table(("seconds", "median", "fastest", "slowest", "budget"), rows))
    print(f"at most {LIMIT_S:g} s an attempt, {PARALLEL} at a time")
    report.write(given.json, about, seconds=figures, budget=BUDGET_S)
    return int(statistics.median(figures["all"]) > BUDGET_S)


if __name__ == "__main__":
    sys.exit(main())
