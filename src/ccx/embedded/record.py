"""The record of a running instance: who supervises it, which parts it has. Read by ``ccx status`` and ``ccx down``."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ccx.embedded.processes import Identity, identify
from ccx.errors import Conflict


@dataclass
class PartRecord:
    """One part as the supervisor sees it."""

    state: str
    """``starting``, ``ready``, ``restarting`` or ``stopped``."""
    pid: int | None = None
    started: int | None = None
    since: float = 0.0
    """Unix time of the last change of state."""
    restarts: int = 0


@dataclass
class Record:
    """What stands in ``<run>/supervisor.json``."""

    pid: int
    started: int
    listen: str
    public_url: str
    ready: bool = False
    """Whether every part was ready at the same time since the start."""
    since: float = field(default_factory=time.time)
    parts: dict[str, PartRecord] = field(default_factory=dict)

    @property
    def supervisor(self) -> Identity:
        return Identity(self.pid, self.started)

    def save(self, run: Path) -> None:
        target = _file(run)
        partial = target.with_suffix(".new")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(target)


def read(run: Path) -> Record | None:
    """The last record of the instance whose run folder this is, its supervisor dead or alive."""
    try:
        saved = json.loads(_file(run).read_text())
        return Record(**{**saved, "parts": {name: PartRecord(**part) for name, part in saved["parts"].items()}})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def running(run: Path) -> Record | None:
    """The record, if its supervisor lives."""
    record = read(run)
    return record if record is not None and record.supervisor.alive else None


def begin(run: Path, listen: str, public_url: str) -> tuple[Record, int]:
    """Makes this process the instance's only supervisor. The descriptor holds the lock until it is closed.

    Raises Conflict when there is another one.
    """
    lock = os.open(run / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise already_running(run) from None
    me = identify(os.getpid())
    assert me is not None, "this process exists"
    record = Record(pid=me.pid, started=me.started, listen=listen, public_url=public_url)
    record.save(run)
    return record, lock


def already_running(run: Path) -> Conflict:
    """The error of a second start."""
    record = read(run)
    who = f" (pid {record.pid}, {record.public_url})" if record else ""
    return Conflict(
        f"instance {run.name!r} is running already{who}",
        remedy=f"See ccx status --instance {run.name}; stop it with ccx down --instance {run.name}",
    )


def _file(run: Path) -> Path:
    return run / "supervisor.json"
