"""Tokens: a job that lost its claim must not change a node that a later job already touched.

The highest token seen is kept on disk, for each lane of jobs one. While a verb runs it holds the lock shared; a higher
token is written under the exclusive lock. So once a new job's first verb is accepted, no verb of an older job of its
lane still runs.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .durable import replace
from .errors import AgentError
from .verb import MAIN

STATE = Path(os.environ.get("CCX_AGENT_STATE", "/var/lib/ccx-agent"))
PATIENCE = 30.0
"""Seconds that a new job waits for a verb of an older one to end."""


@contextmanager
def claimed(token: object, state: Path = STATE, patience: float = PATIENCE, *, lane: str = MAIN) -> Iterator[None]:
    """Runs its body under ``token``; refuses one that is missing or lower than the highest seen in its lane."""
    if isinstance(token, bool) or not isinstance(token, int) or token < 0:
        raise AgentError("this verb changes the node and needs the job's token")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = state / ("token" if lane == MAIN else f"token-{lane}")
    lock = os.open(kept.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    try:
        while True:
            _lock(lock, fcntl.LOCK_SH, deadline)
            seen = _read(kept)
            if token < seen:
                raise AgentError(
                    f"token {token} is older than {seen}, which this node has already seen",
                    "another job has taken over; this one must stop",
                )
            if token == seen:
                yield
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
            _lock(lock, fcntl.LOCK_EX, deadline)
            if token > _read(kept):
                replace(kept, str(token).encode(), mode=0o600, uid=0, gid=0)
            fcntl.flock(lock, fcntl.LOCK_UN)
    finally:
        os.close(lock)


def _read(kept: Path) -> int:
    try:
        return int(kept.read_text())
    except FileNotFoundError:
        return -1


def _lock(lock: int, kind: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise AgentError("a verb of an earlier job still runs on this node", "try again") from None
            time.sleep(0.02)
