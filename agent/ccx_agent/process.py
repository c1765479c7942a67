"""Runs a program. Secrets go over its standard input, never its arguments."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from .errors import AgentError


def output(command: Sequence[str], *, stdin: str = "", user: str | None = None, check: bool = True) -> str:
    """What the program printed; :class:`AgentError` with the last line of its complaint when it failed."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd="/",
        )
    except FileNotFoundError:
        raise AgentError(f"{command[0]} is not installed", "the node's image lacks a package") from None
    if check and done.returncode != 0:
        complaint = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise AgentError(f"{command[0]}: {complaint.splitlines()[-1][:500]}")
    return done.stdout
