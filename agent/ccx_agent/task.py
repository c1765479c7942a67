"""Work that outlives the connection that asked for it: a named systemd unit, started once, asked about, cleared away.

``start`` is idempotent by name, so a caller whose connection broke asks again and finds the same task.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable, Sequence

from .errors import AgentError
from .process import output
from .verb import Args, Progress, Verb, text

NICENESS = "10"
BESIDE = (
    "-p", "CPUWeight=20", "-p", "IOWeight=20", "-p", f"Nice={NICENESS}", "-p", "CPUSchedulingPolicy=batch",
)  # fmt: skip
"""What a task gets that runs beside a database: all that nobody else wants, and a fifth of the usual where others do.

Of the policy ``batch``, it never takes a processor from a query just because its next piece came in.
"""
_LOOK_EVERY_S, _SOON_S = 0.2, 0.02


def _unit(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", name):
        raise AgentError(f"{name!r} is no name for a task")
    return f"ccx-task-{name}.service"


def start(name: str, command: Sequence[str]) -> None:
    """Starts the task unless it is there already, running or ended."""
    if check(name) == "absent":
        output(["systemd-run", "--quiet", "--no-block", "--unit", _unit(name), "-p", "RemainAfterExit=yes", *command])


def check(name: str) -> str:
    """``absent``, ``running``, ``succeeded`` or ``failed``."""
    found = _shown(name, "LoadState", "ActiveState", "SubState")
    if found.get("LoadState") == "not-found":
        return "absent"
    match found.get("ActiveState"), found.get("SubState"):
        case "failed", _:
            return "failed"
        case "active", "exited":
            return "succeeded"
        case "inactive", _:
            return "absent"
    return "running"


def _shown(name: str, *properties: str) -> dict[str, str]:
    shown = output(["systemctl", "show", "-p", ",".join(properties), _unit(name)])
    return dict(line.split("=", 1) for line in shown.splitlines() if line)


def watch(name: str, seconds: float, tell: Callable[[], None]) -> str:
    """As :func:`check`, once the task has ended or the time is over. Has the caller told each second meanwhile."""
    deadline = time.monotonic() + seconds
    while (state := check(name)) == "running" and time.monotonic() < deadline:
        _until_ended(int(_shown(name, "MainPID").get("MainPID", "0")), deadline, tell)
    return state


def _until_ended(process: int, deadline: float, tell: Callable[[], None]) -> None:
    """The kernel says when it ends: asking systemd over and over takes from a small node what the task needs."""
    try:
        handle = os.pidfd_open(process)
    except OSError:  # it begins or ended just now, and systemd will say which
        time.sleep(_SOON_S)
        return
    try:
        while (left := deadline - time.monotonic()) > 0 and not select.select([handle], [], [], min(1.0, left))[0]:
            tell()
    finally:
        os.close(handle)


def clean(*names: str) -> None:
    """Forgets ended tasks; those that run are stopped."""
    units = [_unit(name) for name in names]
    output(["systemctl", "stop", *units], check=False)
    output(["systemctl", "reset-failed", *units], check=False)


def finish(name: str, command: Sequence[str], progress: Progress) -> None:
    """Starts the task, or finds the one that an earlier call started, waits for its end and clears it away."""
    start(name, command)
    while (state := check(name)) == "running":
        progress({"task": name, "state": state})
        time.sleep(_LOOK_EVERY_S)
    if state == "failed":
        said = last_words(name)
        clean(name)
        raise AgentError(f"{name} failed: {said}")
    clean(name)


def last_words(name: str) -> str:
    """The end of what the task wrote."""
    journal = output(["journalctl", "-q", "-o", "cat", "-n", "3", "-u", _unit(name)], check=False).strip()
    return journal[-500:] or "no word why"


def task_check(args: Args, _progress: Progress) -> dict[str, object]:
    return {"state": check(text(args, "name"))}


def task_clean(args: Args, _progress: Progress) -> dict[str, object]:
    clean(text(args, "name"))
    return {}


VERBS = {"task-check": Verb(task_check, mutates=False), "task-clean": Verb(task_clean, mutates=True)}
