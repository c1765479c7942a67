"""Many attempts side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .attempt import attempt
from .model import Answer, Request
from .speak import Proxy

if TYPE_CHECKING:
    import ssl

LIMIT_S = 5.0
"""That one attempt may take."""
PARALLEL = 48
"""Attempts at a time."""


def probe(
    requests: Sequence[Request],
    report: Callable[[Answer], None] | None = None,
    *,
    limit: float = LIMIT_S,
    parallel: int = PARALLEL,
    proxy: str = "",
    ca: str = "",
) -> list[Answer]:
    """Tries all of them; the answers are in the order of the requests. Blocks for as long as that takes.

    Args:
        report: called with each answer as it comes, in the caller's thread.
        proxy: ``http://[user:password@]host:port``, for requests that are ``proxied``.
        ca: PEM of a CA that is trusted besides those that this machine trusts.

    Raises ValueError for a proxy that is none.
    """
    by = Proxy.of(proxy) if proxy else None
    trusted = _trust(ca) if any(request.speaks == "https" for request in requests) else None
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
    answered: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)

    def work() -> None:
        while True:
            try:
                request = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                answer = attempt(request, limit, by, trusted)
            except Exception as error:  # a defect of ours must not end the others, nor be waited for
                answer = Answer(request.key, False, code="failed", err=f"the probe failed: {type(error).__name__}")
            answered.put(answer)

    for _ in range(min(parallel, len(requests))):
        threading.Thread(target=work, daemon=True).start()
    found: dict[str, Answer] = {}
    for _ in requests:
        answer = answered.get()
        found[answer.key] = answer
        if report is not None:
            report(answer)
    return [found[request.key] for request in requests]


def _trust(ca: str) -> ssl.SSLContext:
    from .tls import trust

    return trust(ca)
