"""Who has a member of a Galera group out of step holds a lock, which ends with him whatever ends him."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent.ccx_agent.galera_apart import abandoned

HOLDS = """
import fcntl, sys
with open(sys.argv[1], "w") as held:
    fcntl.flock(held, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_abandoned_unless_somebody_who_lives_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / "apart.lock"
    assert abandoned(lock)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not abandoned(lock)
        assert not abandoned(lock), "trying takes nothing from who holds it"
    finally:
        holder.kill()
        holder.communicate()
    assert abandoned(lock)
